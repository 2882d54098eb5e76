// Per-target part of gemm_kernels: a tile of kRows rows by kVectors vectors of
// outputs is kept in registers while all inputs go by. For each pair of inputs
// and full AVX-512 tile (12 x 32 outputs): 1536 FLOP, 128 B of bf16 weights
// from the second-level cache, 24 broadcasts from the first.
#include "engine/backend/cpu/gemm_kernels.h"
#include "engine/backend/cpu/packed_matrix.h"
#include "hwy/highway.h"

// Per-target include guard.
#if defined(TLIN_ENGINE_BACKEND_CPU_GEMM_TILE_INL_H_) == \
    defined(HWY_TARGET_TOGGLE)
#ifndef TLIN_ENGINE_BACKEND_CPU_GEMM_TILE_INL_H_
#define TLIN_ENGINE_BACKEND_CPU_GEMM_TILE_INL_H_
#else
#undef TLIN_ENGINE_BACKEND_CPU_GEMM_TILE_INL_H_
#endif

#include <array>
#include <utility>

HWY_BEFORE_NAMESPACE();
namespace tlin {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using F32Tag = hn::ScalableTag<float>;
using F32Vector = hn::Vec<F32Tag>;
inline constexpr int64_t kLanes = hn::MaxLanes(F32Tag());

// AVX2 has 16 vector registers, AVX-512 and NEON 32.
inline constexpr bool kManyRegisters = HWY_TARGET != HWY_AVX2;
inline constexpr int64_t kMaxTileRows = kManyRegisters ? 12 : 5;

// Vectors of outputs in a tile: few rows need many of them, since an FMA's
// result is ready four cycles later and two start in each cycle.
constexpr int TileVectors(int64_t rows) {
  if (kManyRegisters) return rows <= 2 ? 8 : rows <= 5 ? 4 : 2;
  return rows <= 2 ? 4 : 2;
}

// Weights of a pair of inputs for `kVectors` vectors of outputs, as f32.
struct F32Weights {
  static constexpr int64_t kPairBytes = 2 * kPanel * sizeof(float);
  static constexpr int kFirst = 0;  // which input of the pair is added first

  F32Weights(const std::byte* pair, int64_t lane)
      : at_(reinterpret_cast<const float*>(pair) + lane) {}
  HWY_INLINE F32Vector Input(int input) const {
    return hn::LoadU(F32Tag(), at_ + input * kPanel);
  }

 private:
  const float* at_;
};

struct Bf16Weights {
  static constexpr int64_t kPairBytes = 2 * kPanel * sizeof(uint16_t);
  static constexpr int kFirst = 1;  // as the dot product instruction does

  Bf16Weights(const std::byte* pair, int64_t lane)
      : bits_(hn::LoadU(hn::RebindToUnsigned<F32Tag>(),
                        reinterpret_cast<const uint32_t*>(pair) + lane)) {}
  HWY_INLINE F32Vector Input(int input) const {
    const hn::RebindToUnsigned<F32Tag> du;
    return hn::BitCast(F32Tag(),
                       input == 0 ? hn::ShiftLeft<16>(bits_)
                                  : hn::And(bits_, hn::Set(du, 0xFFFF0000u)));
  }

 private:
  hn::Vec<hn::RebindToUnsigned<F32Tag>> bits_;
};

// Rows [row, row + kRows), columns [column, column + kVectors * kLanes).
template <class Weights, int kRows, int kVectors>
void MultiplyTile(const GemmTask& task, int64_t row, int64_t column) {
  const F32Tag d;
  F32Vector sums[kRows][kVectors];
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) sums[r][v] = hn::Zero(d);
  }
  const float* a = reinterpret_cast<const float*>(task.a) + row * task.a_stride;
  const int64_t stride = task.a_stride;
  const std::byte* panel = task.panels + column / kPanel * task.panel_bytes;
  const int64_t lane = column % kPanel;
  const int64_t pairs = (task.depth + 1) / 2;

  for (int64_t pair = 0; pair < pairs; ++pair, a += 2) {
    const std::byte* at = panel + pair * Weights::kPairBytes;
    if constexpr (kRows > 2) {
      PrefetchPanels<HWY_MAX(1, kVectors * kLanes / kPanel),
                     Weights::kPairBytes>(at, task.panel_bytes);
    }
    for (int half = 0; half < 2; ++half) {
      const int input = half ^ Weights::kFirst;
      F32Vector weights[kVectors];
      for (int v = 0; v < kVectors; ++v) {
        const int64_t offset = lane + v * kLanes;
        weights[v] =
            Weights(at + offset / kPanel * task.panel_bytes, offset % kPanel)
                .Input(input);
      }
      for (int r = 0; r < kRows; ++r) {
        const F32Vector x = hn::Set(d, a[r * stride + input]);
        for (int v = 0; v < kVectors; ++v) {
          sums[r][v] = hn::MulAdd(x, weights[v], sums[r][v]);
        }
      }
    }
  }

  // The last panel may be wider than y: then through a buffer.
  constexpr int64_t kColumns = kVectors * kLanes;
  const int64_t columns = HWY_MIN(kColumns, task.columns - column);
  HWY_ALIGN float edge[kColumns];
  for (int r = 0; r < kRows; ++r) {
    float* y = task.y + (row + r) * task.y_stride + column;
    for (int v = 0; v < kVectors; ++v) {
      sums[r][v] =
          hn::Add(sums[r][v], hn::LoadU(d, task.bias + column + v * kLanes));
    }
    if (columns == kColumns) {
      for (int v = 0; v < kVectors; ++v) {
        float* out = y + v * kLanes;
        hn::StoreU(
            task.add ? hn::Add(hn::LoadU(d, out), sums[r][v]) : sums[r][v], d,
            out);
      }
    } else {
      for (int v = 0; v < kVectors; ++v) {
        hn::StoreU(sums[r][v], d, edge + v * kLanes);
      }
      for (int64_t c = 0; c < columns; ++c) {
        y[c] = task.add ? y[c] + edge[c] : edge[c];
      }
    }
  }
}

using TileFunction = void (*)(const GemmTask&, int64_t row, int64_t column);

template <class Weights, bool kWide, size_t... kIndex>
constexpr std::array<TileFunction, sizeof...(kIndex)> TileTable(
    std::index_sequence<kIndex...>) {
  return {&MultiplyTile < Weights, static_cast<int>(kIndex) + 1,
          kWide ? TileVectors(kIndex + 1) : 2 > ...};
}

// Rows are cut into tiles of nearly equal height. Panels are the outer loop, so
// that one stays in the cache while all tiles use it.
template <class Weights>
void MultiplyPanels(const GemmTask& task) {
  static constexpr auto kIndices = std::make_index_sequence<kMaxTileRows>();
  static constexpr auto kWideTile = TileTable<Weights, true>(kIndices);
  static constexpr auto kNarrowTile = TileTable<Weights, false>(kIndices);
  const int64_t tiles = (task.rows + kMaxTileRows - 1) / kMaxTileRows;
  const int64_t height = task.rows / tiles;
  const int64_t taller = task.rows % tiles;  // tiles with one row more
  const int64_t columns = task.panel_count * kPanel;
  const int64_t wide = TileVectors(height) * kLanes;
  int64_t column = 0;
  while (column < columns) {
    // A tile of at least kMaxTileRows / 2 rows is never wider than two vectors,
    // so with several tiles both heights have the same width.
    const bool is_wide = column + wide <= columns;
    const auto& table = is_wide ? kWideTile : kNarrowTile;
    int64_t row = 0;
    for (int64_t tile = 0; tile < tiles; ++tile) {
      const int64_t rows = height + (tile < taller ? 1 : 0);
      table[rows - 1](task, row, column);
      row += rows;
    }
    column += is_wide ? wide : 2 * kLanes;
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace tlin
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
