// Products of bytes, in tiles where the unit that is compiled asks for them, else in the lanes of
// its vectors.
#pragma once

#ifdef NCG_FAST_TILES
#include "cpu/isa/product_tiles.h"
#else
#include "cpu/isa/product_lanes.h"
#endif
