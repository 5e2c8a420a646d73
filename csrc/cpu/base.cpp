#include "cpu/vec_base.h"

// The kernels, in the vectors of the line above.
#include "cpu/op_table.h"

namespace ncg {

extern const OpTable kBaseTable;
const OpTable kBaseTable = kOpTable;

}  // namespace ncg
