#include "cpu/vec_avx512.h"

// Products in the vectors of the line above.
#include "cpu/product_lanes.h"

// The kernels, of both.
#include "cpu/op_table.h"

namespace ncg {

extern const OpTable kAvx512Table;
const OpTable kAvx512Table = kOpTable;

}  // namespace ncg
