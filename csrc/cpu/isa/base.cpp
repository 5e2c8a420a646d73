// The kernels in the vectors of vec_base.h.
#include "cpu/op_table.h"

namespace ncg {

extern const OpTable kBaseTable;
const OpTable kBaseTable = kOpTable;

}  // namespace ncg
