#include "tests/backend/backend_fixture.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "engine/backend/cpu/cpu_backend.h"
#include "engine/backend/cpu/gemm_kernels.h"
#include "hwy/targets.h"
#include "tests/testing/forced_simd.h"

namespace tlin {

std::vector<BackendParam> CpuBackends() {
  const auto copy = [](const void* from, void* to, int64_t bytes) {
    if (bytes > 0) std::memcpy(to, from, bytes);  // else both may be null
  };
  const auto param = [&](const char* name, DType dtype, int threads,
                         int64_t target, const GemmKernels* kernels) {
    const auto make = [=](const BackendShape& shape) {
      return CpuBackend::Create(shape, dtype, threads, kernels);
    };
    const double tolerance = dtype == DType::kF32 ? 2e-5 : 2e-2;
    return BackendParam{name, make, tolerance, target, copy, copy};
  };
  std::vector<BackendParam> params = {
      param("f32", DType::kF32, 2, 0, nullptr),
      param("bf16", DType::kBF16, 2, 0, &GemmBf16())};
#if defined(__SANITIZE_THREAD__)
  return params;  // threads do the same whatever the instructions: minutes less
#endif
  if ((RunnableSimd() & HWY_SCALAR) != 0) {
    params.push_back(param("f32_scalar", DType::kF32, 1, HWY_SCALAR, nullptr));
    params.push_back(
        param("bf16_scalar", DType::kBF16, 1, HWY_SCALAR, &GemmBf16()));
  }
  if ((RunnableSimd() & HWY_AVX2) != 0) {
    params.push_back(param("f32_avx2", DType::kF32, 2, HWY_AVX2, nullptr));
    params.push_back(
        param("bf16_avx2", DType::kBF16, 2, HWY_AVX2, &GemmBf16()));
  }
  if (GemmBf16Dot() != nullptr) {
    params.push_back(param("bf16_dot", DType::kBF16, 2, 0, GemmBf16Dot()));
  }
  return params;
}

HostMatrix View(const Matrix& matrix, const std::vector<float>& floats) {
  if (floats.empty()) return {};
  return {floats.data(), DType::kF32, matrix.rows, matrix.cols};
}

void BackendTest::SetUp() { ForceSimd(GetParam().simd_target); }

void BackendTest::TearDown() {
  backend_.reset();
  ForceSimd(0);
}

void BackendTest::Make(int32_t n_embd, int32_t n_head, int32_t ffn_size,
                       int32_t vocab_size) {
  auto backend =
      GetParam().make({n_embd, n_head, ffn_size, vocab_size, 300, 64});
  ASSERT_TRUE(backend.ok()) << backend.status();
  backend_ = *std::move(backend);
}

std::unique_ptr<Linear> BackendTest::MakeLinear(const Matrix& weight,
                                                const Matrix& bias) {
  const std::vector<float> weights = ToFloats(weight);
  const std::vector<float> biases = ToFloats(bias);
  const HostMatrix view = View(weight, weights);
  auto linear = backend_->MakeLinear({&view, 1}, View(bias, biases));
  EXPECT_TRUE(linear.ok()) << linear.status();
  return *std::move(linear);
}

std::unique_ptr<Norm> BackendTest::MakeNorm(const Matrix (&norm)[2]) {
  const std::vector<float> weight = ToFloats(norm[0]);
  const std::vector<float> bias = ToFloats(norm[1]);
  auto made = backend_->MakeNorm(View(norm[0], weight), View(norm[1], bias));
  EXPECT_TRUE(made.ok()) << made.status();
  return *std::move(made);
}

TestLayer BackendTest::MakeLayer() {
  const int64_t width = n_embd();
  const int64_t ffn = backend_->shape().ffn_size;
  const auto weight = [&](int64_t rows, int64_t cols) {
    return Round(RandomMatrix(rows, cols, std::sqrt(3.0 / cols), random_),
                 backend_->dtype());
  };
  const auto bias = [&](int64_t cols) {
    return RandomMatrix(1, cols, 0.1, random_);
  };
  TestLayer layer;
  for (Matrix* norm : {layer.norm1, layer.norm2}) {
    norm[0] = RandomMatrix(1, width, 1.5, random_);
    norm[1] = bias(width);
  }
  layer.q = weight(width, width);
  layer.kv = weight(2 * width, width);
  layer.out = weight(width, width);
  layer.gate_up = weight(2 * ffn, width);
  layer.down = weight(width, ffn);
  layer.q_bias = bias(width);
  layer.kv_bias = bias(2 * width);
  layer.out_bias = bias(width);
  layer.device.norm1 = MakeNorm(layer.norm1);
  layer.device.norm2 = MakeNorm(layer.norm2);
  layer.device.q = MakeLinear(layer.q, layer.q_bias);
  layer.device.kv = MakeLinear(layer.kv, layer.kv_bias);
  layer.device.out = MakeLinear(layer.out, layer.out_bias);
  layer.device.gate_up = MakeLinear(layer.gate_up, {});
  layer.device.down = MakeLinear(layer.down, {});
  return layer;
}

DeviceRows BackendTest::Upload(const Matrix& matrix) {
  const std::vector<float> floats = ToFloats(matrix);
  const int64_t bytes = static_cast<int64_t>(floats.size() * sizeof(float));
  DeviceRows rows;
  rows.cols = matrix.cols;
  rows.count = static_cast<int32_t>(matrix.rows);
  rows.buffer = backend_->Allocate(bytes).value();
  GetParam().upload(floats.data(), rows.buffer->data(), bytes);
  return rows;
}

Matrix BackendTest::Download(const DeviceRows& rows) {
  EXPECT_TRUE(backend_->Synchronize().ok());
  std::vector<float> floats(rows.count * rows.cols);
  GetParam().download(rows.buffer->data(), floats.data(),
                      static_cast<int64_t>(floats.size() * sizeof(float)));
  Matrix matrix(rows.count, rows.cols);
  std::copy(floats.begin(), floats.end(), matrix.values.begin());
  return matrix;
}

TestBlock BackendTest::FillBlock(const TestLayer& layer, int32_t capacity,
                                 const Matrix& x, int32_t first_position) {
  TestBlock made;
  made.buffer =
      backend_->Allocate(KvBlockBytes(capacity, n_embd(), backend_->dtype()))
          .value();
  const int32_t rows = static_cast<int32_t>(x.rows);
  made.block = {made.buffer->data(), capacity, rows};
  std::vector<int32_t> positions(rows);
  std::iota(positions.begin(), positions.end(), first_position);
  std::vector<KvRow> places;
  for (int32_t row = 0; row < rows; ++row) {
    places.push_back({made.block.data, capacity, row});
  }
  const DeviceRows device = Upload(x);
  backend_->ProjectKv(layer.device, device.rows(), positions, places);
  EXPECT_TRUE(backend_->Synchronize().ok());
  return made;
}

TestBlock BackendTest::MakeBlock(const TestLayer& layer, int32_t capacity,
                                 int32_t rows, int32_t first_position) {
  const Matrix x = Random(rows, 2.0);
  TestBlock made = FillBlock(layer, capacity, x, first_position);
  std::vector<int32_t> positions(rows);
  std::iota(positions.begin(), positions.end(), first_position);
  const Matrix kv =
      ReferenceLinear(Input(ReferenceNorm(x, layer.norm1[0], layer.norm1[1])),
                      layer.kv, layer.kv_bias);
  made.keys =
      Input(ReferenceRope(Columns(kv, 0, n_embd()), positions, n_head()));
  made.values = Input(Columns(kv, n_embd(), n_embd()));
  return made;
}

std::vector<std::byte> BackendTest::Bytes(const TestBlock& block) {
  EXPECT_TRUE(backend_->Synchronize().ok());
  std::vector<std::byte> bytes(block.buffer->size());
  GetParam().download(block.buffer->data(), bytes.data(),
                      static_cast<int64_t>(bytes.size()));
  return bytes;
}

void BackendTest::ExpectNear(const Matrix& actual,
                             const Matrix& expected) const {
  ASSERT_EQ(actual.values.size(), expected.values.size());
  double largest = 0;
  double error = 0;
  for (size_t i = 0; i < expected.values.size(); ++i) {
    ASSERT_TRUE(std::isfinite(actual.values[i])) << "element " << i;
    largest = std::max(largest, std::abs(expected.values[i]));
    error = std::max(error, std::abs(actual.values[i] - expected.values[i]));
  }
  EXPECT_LE(error, GetParam().tolerance * largest);
}

}  // namespace tlin
