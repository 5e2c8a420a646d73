#include "cpu/vec_avx2.h"

// Products in the vectors of the line above.
#include "cpu/product_lanes.h"

// The kernels, of both.
#include "cpu/op_table.h"

namespace ncg {

extern const OpTable kAvx2Table;
const OpTable kAvx2Table = kOpTable;

}  // namespace ncg
