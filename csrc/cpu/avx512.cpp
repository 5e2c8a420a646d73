#include "cpu/vec_avx512.h"

// The kernels, in the vectors of the line above.
#include "cpu/op_table.h"

namespace ncg {

extern const OpTable kAvx512Table;
const OpTable kAvx512Table = kOpTable;

}  // namespace ncg
