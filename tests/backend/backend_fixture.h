// One body of tests for every backend: the parameter says how to make it and
// how near to double arithmetic it has to come.
#ifndef TLIN_TESTS_BACKEND_BACKEND_FIXTURE_H_
#define TLIN_TESTS_BACKEND_BACKEND_FIXTURE_H_

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/backend/backend.h"
#include "tests/backend/reference_ops.h"

namespace tlin {

struct BackendParam {
  std::string name;
  std::function<absl::StatusOr<std::unique_ptr<Backend>>(const BackendShape&)>
      make;
  // Largest error of an operation, relative to its largest result.
  double tolerance = 0;
  // Its threads are run one after the other: it gets shapes of few heads.
  bool emulated = false;
  // The instruction set that Highway has to use, 0: the best.
  int64_t simd_target = 0;
  // Between host and device memory.
  std::function<void(const void* from, void* to, int64_t bytes)> upload;
  std::function<void(const void* from, void* to, int64_t bytes)> download;
};

// Those that the binary has: cpu_backends.cc or cuda_backends.cc.
std::vector<BackendParam> Backends();

// A layer with random weights, on the device and for the reference (rounded to
// the backend's dtype where the backend rounds).
struct TestLayer {
  LayerWeights device;
  Matrix norm1[2], norm2[2];  // weight, bias
  Matrix q, kv, out, gate_up, down;
  Matrix q_bias, kv_bias, out_bias;
};

// f32 rows in device memory.
struct DeviceRows {
  std::unique_ptr<DeviceBuffer> buffer;
  int64_t cols = 0;
  int32_t count = 0;
  Rows rows() const {
    return {reinterpret_cast<float*>(buffer->data()), count};
  }
  Rows Slice(int32_t first, int32_t rows) const {
    return {reinterpret_cast<float*>(buffer->data()) + first * cols, rows};
  }
};

// A cache block in device memory with the keys and values that were put there.
struct TestBlock {
  std::unique_ptr<DeviceBuffer> buffer;
  KvBlock block;
  // As the reference has them; only of MakeBlock.
  Matrix keys;    // [rows, n_embd], rotated, rounded
  Matrix values;  // [rows, n_embd], rounded
};

// Widths that are no multiples of a vector, heads from 2 to 128 elements.
struct TestShape {
  int32_t n_embd, n_head, ffn_size, vocab_size;
};
inline constexpr TestShape kTestShapes[] = {
    {16, 2, 32, 50},      {24, 2, 40, 33},   {32, 16, 64, 64},
    {72, 2, 100, 97},     {192, 3, 256, 31}, {256, 2, 250, 100},
    {432, 12, 1280, 1000}};

class BackendTest : public testing::TestWithParam<BackendParam> {
 protected:
  void SetUp() override;
  void TearDown() override;

  // Those of kTestShapes that the backend has the time for.
  std::vector<TestShape> Shapes() const;
  // Makes backend_ of this shape, for up to 300 rows and kMaxBlocks blocks.
  void Make(int32_t n_embd, int32_t n_head, int32_t ffn_size,
            int32_t vocab_size);
  TestLayer MakeLayer();

  DeviceRows Upload(const Matrix& matrix);
  DeviceRows NewRows(int32_t rows) { return Upload(Matrix(rows, n_embd())); }
  Matrix Download(const DeviceRows& rows);

  // A block with the keys and values that ProjectKv makes of x, at consecutive
  // positions.
  TestBlock FillBlock(const TestLayer& layer, int32_t capacity, const Matrix& x,
                      int32_t first_position);
  // The same of random x, with the reference's keys and values (which takes the
  // reference's time).
  TestBlock MakeBlock(const TestLayer& layer, int32_t capacity, int32_t rows,
                      int32_t first_position);
  std::vector<std::byte> Bytes(DeviceBuffer* buffer);
  std::vector<std::byte> Bytes(const TestBlock& block) {
    return Bytes(block.buffer.get());
  }

  // What the backend multiplies: x rounded to its dtype.
  Matrix Input(const Matrix& x) const { return Round(x, backend_->dtype()); }
  Matrix Random(int64_t rows, double limit = 1.0) {
    return RandomMatrix(rows, n_embd(), limit, random_);
  }
  void ExpectNear(const Matrix& actual, const Matrix& expected) const;

  int32_t n_embd() const { return backend_->shape().n_embd; }
  int32_t n_head() const { return backend_->shape().n_head; }

  std::mt19937 random_{20240};
  std::unique_ptr<Backend> backend_;

 private:
  std::unique_ptr<Linear> MakeLinear(const Matrix& weight, const Matrix& bias);
  std::unique_ptr<Norm> MakeNorm(const Matrix (&norm)[2]);
};

inline constexpr int64_t kMaxBlocks = 400;

// Results as bits, so that NaNs and zeros compare too.
std::vector<uint32_t> Bits(const Matrix& matrix);

HostMatrix View(const Matrix& matrix, const std::vector<float>& floats);

}  // namespace tlin

#endif  // TLIN_TESTS_BACKEND_BACKEND_FIXTURE_H_
