// The kernels in the vectors of vec_avx2.h.
#define NCG_FAST_AVX2
#include "cpu/op_table.h"

namespace ncg {

extern const OpTable kAvx2Table;
const OpTable kAvx2Table = kOpTable;

}  // namespace ncg
