// The kernels in the vectors of vec_avx512.h.
#define NCG_FAST_AVX512
#include "cpu/op_table.h"

namespace ncg {

extern const OpTable kAvx512Table;
const OpTable kAvx512Table = kOpTable;

}  // namespace ncg
