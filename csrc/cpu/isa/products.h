// Products in tiles, where the unit that is compiled asks for them.
#pragma once

#ifdef NCG_FAST_TILES
#include "cpu/isa/product_tiles.h"
#else
namespace ncg {
namespace {

constexpr bool kTiles = false;

// While one lives, its thread may use tiles.
struct ProductUnit {
  ProductUnit() {}
};

}  // namespace
}  // namespace ncg
#endif
