#include "tests/cuda_emulation/tensor_core.h"

#include <algorithm>
#include <cstring>

namespace cuda_emulation {
namespace {

// What a lane brings to a product.
struct MmaGiven {
  float d[4];
  uint32_t a[4];
  uint32_t b[2];
};
static_assert(sizeof(MmaGiven) <= kMaxExchangeBytes);

struct MmaReceived {
  float d[4];
};

float HalfOf(uint32_t pair, unsigned index) {
  const uint32_t bits = (index != 0 ? pair >> 16 : pair & 0xffff) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

void ComputeMma(const char* given, char* received) {
  float a[16][16];  // [row][k]
  float b[16][8];   // [k][col]
  float d[16][8];
  const auto* const lanes = reinterpret_cast<const MmaGiven*>(given);
  auto* const results = reinterpret_cast<MmaReceived*>(received);
  for (unsigned lane = 0; lane < kWarpThreads; ++lane) {
    const MmaGiven& mine = lanes[lane];
    const unsigned group = lane / 4;
    const unsigned pair = lane % 4 * 2;
    for (unsigned i = 0; i < 4; ++i) {
      const unsigned row = group + i % 2 * 8;
      const unsigned k = pair + i / 2 * 8;
      a[row][k] = HalfOf(mine.a[i], 0);
      a[row][k + 1] = HalfOf(mine.a[i], 1);
      d[group + i / 2 * 8][pair + i % 2] = mine.d[i];
    }
    for (unsigned i = 0; i < 2; ++i) {
      b[pair + i * 8][group] = HalfOf(mine.b[i], 0);
      b[pair + i * 8 + 1][group] = HalfOf(mine.b[i], 1);
    }
  }
  for (unsigned row = 0; row < 16; ++row) {
    for (unsigned k = 0; k < 16; ++k) {
      for (unsigned col = 0; col < 8; ++col) {
        d[row][col] += a[row][k] * b[k][col];
      }
    }
  }
  for (unsigned lane = 0; lane < kWarpThreads; ++lane) {
    for (unsigned i = 0; i < 4; ++i) {
      results[lane].d[i] = d[lane / 4 + i / 2 * 8][lane % 4 * 2 + i % 2];
    }
  }
}

}  // namespace

void MmaBf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
             const Location& at) {
  MmaGiven given;
  std::copy(d, d + 4, given.d);
  std::copy(a, a + 4, given.a);
  std::copy(b, b + 2, given.b);
  MmaReceived received;
  WarpCollective(&given, sizeof(given), &received, sizeof(received), ComputeMma,
                 at);
  std::copy(received.d, received.d + 4, d);
}

}  // namespace cuda_emulation
