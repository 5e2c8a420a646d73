#include "cpu/tiles.h"

#ifdef NCG_FAST_AMX
#include "cpu/vec_avx512.h"

// Products in tiles, all else in the vectors of the line above.
#include "cpu/product_tiles.h"

// The kernels, of both.
#include "cpu/op_table.h"

namespace ncg {

extern const OpTable kAmxTable;
const OpTable kAmxTable = kOpTable;

}  // namespace ncg

#endif
