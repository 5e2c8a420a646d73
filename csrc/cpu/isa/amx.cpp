// The kernels with products in tiles, all else in the vectors of vec_avx512.h.
#include "cpu/isa/tiles.h"

#ifdef NCG_FAST_AMX
#define NCG_FAST_AVX512
#define NCG_FAST_TILES
#include "cpu/op_table.h"

namespace ncg {

extern const OpTable kAmxTable;
const OpTable kAmxTable = kOpTable;

}  // namespace ncg

#endif
