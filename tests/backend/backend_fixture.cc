#include "tests/backend/backend_fixture.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "tests/testing/forced_simd.h"

namespace tlin {

std::vector<uint32_t> Bits(const Matrix& matrix) {
  std::vector<uint32_t> bits;
  for (const double value : matrix.values) {
    const float narrow = static_cast<float>(value);
    uint32_t word;
    std::memcpy(&word, &narrow, sizeof(word));
    bits.push_back(word);
  }
  return bits;
}

HostMatrix View(const Matrix& matrix, const std::vector<float>& floats) {
  if (floats.empty()) return {};
  return {floats.data(), DType::kF32, matrix.rows, matrix.cols};
}

std::vector<TestShape> BackendTest::Shapes() const {
  constexpr int32_t kFewHeads = 3;
  std::vector<TestShape> shapes;
  for (const TestShape& shape : kTestShapes) {
    if (!GetParam().emulated || shape.n_head <= kFewHeads) {
      shapes.push_back(shape);
    }
  }
  return shapes;
}

void BackendTest::SetUp() { ForceSimd(GetParam().simd_target); }

void BackendTest::TearDown() {
  backend_.reset();
  ForceSimd(0);
}

void BackendTest::Make(int32_t n_embd, int32_t n_head, int32_t ffn_size,
                       int32_t vocab_size) {
  auto backend = GetParam().make(
      {n_embd, n_head, ffn_size, vocab_size, 300, 64, kMaxBlocks, 2, 1});
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

std::vector<std::byte> BackendTest::Bytes(DeviceBuffer* buffer) {
  EXPECT_TRUE(backend_->Synchronize().ok());
  std::vector<std::byte> bytes(buffer->size());
  GetParam().download(buffer->data(), bytes.data(), buffer->size());
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
