// Products by AVX512-BF16's dot product of bf16 pairs. Only in x86-64's build.
#include <immintrin.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "engine/backend/cpu/bf16_dot.h"
#include "engine/backend/cpu/gemm_kernels.h"
#include "engine/backend/cpu/packed_matrix.h"
#include "hwy/base.h"
#include "hwy/targets.h"

namespace tlin {
namespace {

constexpr int64_t kLanes = 16;
constexpr int kMaxTileRows = 12;

constexpr int TileVectors(int64_t rows) {
  return rows <= 2 ? 8 : rows <= 5 ? 4 : 2;
}

// FloatToBf16's rounding, but for subnormals, which become 0.
TLIN_AVX512_BF16 void Prepare(const float* x, int64_t cols, uint32_t* row) {
  int64_t i = 0;
  for (; i + 2 * kLanes <= cols; i += 2 * kLanes) {
    _mm512_storeu_si512(
        row + i / 2,
        reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(
            _mm512_loadu_ps(x + i + kLanes), _mm512_loadu_ps(x + i))));
  }
  const int64_t left = cols - i;
  const __m512 low = _mm512_maskz_loadu_ps(FirstLanes(left), x + i);
  const __m512 high =
      _mm512_maskz_loadu_ps(FirstLanes(left - kLanes), x + i + kLanes);
  _mm512_mask_storeu_epi32(
      row + i / 2, FirstLanes((left + 1) / 2),
      reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low)));
}

// As MultiplyTile in gemm_tile-inl.h: the same sums in the same order.
template <int kRows, int kVectors>
TLIN_AVX512_BF16 void MultiplyTile(const GemmTask& task, int64_t row,
                                   int64_t column) {
  __m512 sums[kRows][kVectors];
  HWY_UNROLL(16)
  for (int r = 0; r < kRows; ++r) {
    HWY_UNROLL(16)
    for (int v = 0; v < kVectors; ++v) sums[r][v] = _mm512_setzero_ps();
  }
  const uint32_t* a = task.a + row * task.a_stride;
  const int64_t stride = task.a_stride;
  const std::byte* panel = task.panels + column / kPanel * task.panel_bytes;
  const int64_t pairs = (task.depth + 1) / 2;

  for (int64_t pair = 0; pair < pairs; ++pair, ++a) {
    const std::byte* at = panel + pair * kPanel * 4;
    __m512bh weights[kVectors];
    HWY_UNROLL(16)
    for (int v = 0; v < kVectors; ++v) {
      weights[v] = reinterpret_cast<__m512bh>(_mm512_loadu_si512(
          at + v / 2 * task.panel_bytes + v % 2 * kLanes * 4));
    }
    if constexpr (kRows > 2) {
      PrefetchPanels<kVectors / 2, kPanel * 4>(at, task.panel_bytes);
    }
    HWY_UNROLL(16)
    for (int r = 0; r < kRows; ++r) {
      const __m512bh x = reinterpret_cast<__m512bh>(
          _mm512_set1_epi32(static_cast<int>(a[r * stride])));
      HWY_UNROLL(16)
      for (int v = 0; v < kVectors; ++v) {
        sums[r][v] = _mm512_dpbf16_ps(sums[r][v], weights[v], x);
      }
    }
  }

  HWY_UNROLL(16)
  for (int r = 0; r < kRows; ++r) {
    float* y = task.y + (row + r) * task.y_stride + column;
    HWY_UNROLL(16)
    for (int v = 0; v < kVectors; ++v) {
      const int64_t first = column + v * kLanes;
      const __mmask16 mask = FirstLanes(task.columns - first);
      __m512 sum =
          _mm512_add_ps(sums[r][v], _mm512_loadu_ps(task.bias + first));
      if (task.add) {
        sum = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, y + v * kLanes), sum);
      }
      _mm512_mask_storeu_ps(y + v * kLanes, mask, sum);
    }
  }
}

using TileFunction = void (*)(const GemmTask&, int64_t row, int64_t column);

template <bool kWide, size_t... kIndex>
constexpr std::array<TileFunction, sizeof...(kIndex)> TileTable(
    std::index_sequence<kIndex...>) {
  return {&MultiplyTile < static_cast<int>(kIndex) + 1,
          kWide ? TileVectors(kIndex + 1) : 2 > ...};
}

void Multiply(const GemmTask& task) {
  static constexpr auto kIndices = std::make_index_sequence<kMaxTileRows>();
  static constexpr auto kWideTile = TileTable<true>(kIndices);
  static constexpr auto kNarrowTile = TileTable<false>(kIndices);
  const int64_t tiles = (task.rows + kMaxTileRows - 1) / kMaxTileRows;
  const int64_t height = task.rows / tiles;
  const int64_t taller = task.rows % tiles;
  const int64_t columns = task.panel_count * kPanel;
  const int64_t wide = TileVectors(height) * kLanes;
  int64_t column = 0;
  while (column < columns) {
    const bool is_wide = column + wide <= columns;
    int64_t row = 0;
    for (int64_t tile = 0; tile < tiles; ++tile) {
      const int64_t rows = height + (tile < taller ? 1 : 0);
      (is_wide ? kWideTile : kNarrowTile)[rows - 1](task, row, column);
      row += rows;
    }
    column += is_wide ? wide : kPanel;
  }
}

constexpr GemmKernels kKernels = {"bf16 dot product", 2, &Prepare, &Multiply};

bool HasInstruction() {
  return __builtin_cpu_supports("avx512bf16") != 0 &&
         __builtin_cpu_supports("avx512bw") != 0 &&
         __builtin_cpu_supports("avx512vl") != 0;
}

}  // namespace

const GemmKernels* GemmBf16Dot() {
  return HasInstruction() ? &kKernels : nullptr;
}

const GemmKernels& FastestGemmBf16() {
  // Not where a test forbids Highway the kernels of the same processors.
  const bool wide = (hwy::SupportedTargets() & HWY_AVX3) != 0;
  return wide && HasInstruction() && __builtin_cpu_is("amd") != 0 ? kKernels
                                                                  : GemmBf16();
}

}  // namespace tlin
