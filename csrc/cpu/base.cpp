#include "cpu/vec_base.h"

// Products in the vectors of the line above.
#include "cpu/product_lanes.h"

// The kernels, of both.
#include "cpu/op_table.h"

namespace ncg {

extern const OpTable kBaseTable;
const OpTable kBaseTable = kOpTable;

}  // namespace ncg
