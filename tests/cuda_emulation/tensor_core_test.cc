// mma and ldmatrix against plain loops.
#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "gpu/device.h"
#include "tests/cuda_emulation/testing.h"

namespace cuda_emulation {
namespace {

using Bf16 = __nv_bfloat16;

std::vector<Bf16> RandomHalves(size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> any(-1, 1);
  std::vector<Bf16> values(count);
  for (Bf16& value : values) value = __float2bfloat16(any(random));
  return values;
}

// One warp: c [16, 8] = a [16, 16] b [8, 16]^T; or, with b [16, 8] by rows,
// a b.
template <bool kTransposed>
__global__ void Multiply(const Bf16* a, const Bf16* b, float* c) {
  Bf16* const shared_a = gpu::DynamicShared<Bf16>();
  Bf16* const shared_b = shared_a + 16 * 16;
  const unsigned lane = threadIdx.x;
  for (unsigned i = lane; i < 256; i += 32) shared_a[i] = a[i];
  for (unsigned i = lane; i < 128; i += 32) shared_b[i] = b[i];
  __syncwarp();
  // Matrices: rows 0.., rows 8.., then the same of the columns from 8 on.
  uint32_t of_a[4];
  gpu::LoadMatrices(
      of_a, shared_a + (lane % 8 + lane / 8 % 2 * 8) * 16 + lane / 16 * 8);
  uint32_t of_b[4];
  if (kTransposed) {
    gpu::LoadMatricesTransposed(of_b, shared_b + lane % 16 * 8);
  } else {
    gpu::LoadMatrices(of_b, shared_b + lane % 8 * 16 + lane / 8 % 2 * 8);
  }
  float d[4] = {1, 1, 1, 1};
  const uint32_t first_b[2] = {of_b[0], of_b[1]};
  gpu::MmaBf16(d, of_a, first_b);
  const unsigned row = lane / 4;
  const unsigned col = lane % 4 * 2;
  for (unsigned i = 0; i < 4; ++i) {
    c[(row + i / 2 * 8) * 8 + col + i % 2] = d[i];
  }
}

TEST(TensorCoreTest, AProductOfMatrices) {
  const std::vector<Bf16> a = RandomHalves(256, 1);
  const std::vector<Bf16> b = RandomHalves(128, 2);
  const OnDevice<Bf16> device_a(a);
  const OnDevice<Bf16> device_b(b);
  const OnDevice<float> device_c(128);
  const auto multiply = [&](void (*kernel)(const Bf16*, const Bf16*, float*)) {
    EXPECT_EQ(gpu::Launch(kernel, 1, 32, 384 * sizeof(Bf16), nullptr,
                          device_a.data(), device_b.data(), device_c.data()),
              cudaSuccess);
    return device_c.Read();
  };
  const std::vector<float> by_columns = multiply(Multiply<false>);
  const std::vector<float> by_rows = multiply(Multiply<true>);
  for (int row = 0; row < 16; ++row) {
    for (int col = 0; col < 8; ++col) {
      double columns = 1;
      double rows = 1;
      for (int k = 0; k < 16; ++k) {
        const double left = __bfloat162float(a[row * 16 + k]);
        columns += left * __bfloat162float(b[col * 16 + k]);
        rows += left * __bfloat162float(b[k * 8 + col]);
      }
      EXPECT_NEAR(by_columns[row * 8 + col], columns, 1e-5);
      EXPECT_NEAR(by_rows[row * 8 + col], rows, 1e-5);
    }
  }
}

__global__ void MisalignedLoad() {
  uint32_t to[4];
  gpu::LoadMatrices(to, gpu::DynamicShared<Bf16>() + threadIdx.x * 8 + 1);
}

TEST(TensorCoreTest, AMisalignedRowIsAFault) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        gpu::Launch(MisalignedLoad, 1, 32, 1024, nullptr);
        cudaDeviceSynchronize();
      },
      "no multiple of 16");
}

}  // namespace
}  // namespace cuda_emulation
