// Every operation but attention, against double arithmetic.
#include <cmath>
#include <limits>
#include <vector>

#include "tests/backend/backend_fixture.h"

namespace tlin {
namespace {

class OpsTest : public BackendTest {
 protected:
  std::vector<int32_t> Positions(int32_t rows) {
    std::uniform_int_distribution<int32_t> any(0, 1'500'000);
    std::vector<int32_t> positions(rows);
    for (int32_t& position : positions) position = any(random_);
    positions[0] = 0;
    return positions;
  }
};

TEST_P(OpsTest, EmbedIsARowOfTheTable) {
  for (const TestShape& shape : kTestShapes) {
    Make(shape.n_embd, shape.n_head, shape.ffn_size, shape.vocab_size);
    const Matrix weight = RandomMatrix(shape.vocab_size, n_embd(), 1, random_);
    const std::vector<float> floats = ToFloats(weight);
    const HostMatrix view = View(weight, floats);
    const auto table = backend_->MakeLinear({&view, 1}, {}).value();
    EXPECT_GE(table->bytes(), int64_t{shape.vocab_size} * n_embd() *
                                  DTypeBytes(backend_->dtype()));
    const std::vector<TokenId> ids = {0, shape.vocab_size - 1, 7, 7,
                                      31 % shape.vocab_size};
    DeviceRows x = NewRows(static_cast<int32_t>(ids.size()));
    backend_->Embed(*table, ids, x.rows());
    const Matrix actual = Download(x);
    for (size_t row = 0; row < ids.size(); ++row) {
      for (int64_t i = 0; i < n_embd(); ++i) {
        EXPECT_EQ(actual.at(row, i),
                  Round(weight.at(ids[row], i), backend_->dtype()));
      }
    }
  }
}

TEST_P(OpsTest, LogitsOfChosenRows) {
  for (const TestShape& shape : kTestShapes) {
    Make(shape.n_embd, shape.n_head, shape.ffn_size, shape.vocab_size);
    const TestLayer layer = MakeLayer();
    const Matrix weight =
        Round(RandomMatrix(shape.vocab_size, n_embd(), 0.5, random_),
              backend_->dtype());
    const std::vector<float> floats = ToFloats(weight);
    const HostMatrix view = View(weight, floats);
    const auto table = backend_->MakeLinear({&view, 1}, {}).value();
    const Matrix x = Random(9, 3.0);
    const DeviceRows device = Upload(x);
    const std::vector<int32_t> indices = {8, 0, 3};
    std::vector<float> logits(indices.size() * shape.vocab_size);
    backend_->ComputeLogits(*layer.device.norm1, *table, device.rows(), indices,
                            logits.data());
    ASSERT_TRUE(backend_->Synchronize().ok());
    Matrix chosen(3, n_embd());
    for (int row = 0; row < 3; ++row) {
      std::copy_n(x.row(indices[row]), n_embd(), chosen.row(row));
    }
    Matrix actual(3, shape.vocab_size);
    std::copy(logits.begin(), logits.end(), actual.values.begin());
    ExpectNear(actual,
               ReferenceLinear(
                   Input(ReferenceNorm(chosen, layer.norm1[0], layer.norm1[1])),
                   weight, {}));
  }
}

TEST_P(OpsTest, QueriesAreProjectedAndTurned) {
  for (const TestShape& shape : kTestShapes) {
    Make(shape.n_embd, shape.n_head, shape.ffn_size, shape.vocab_size);
    const TestLayer layer = MakeLayer();
    for (const int32_t rows : {1, 2, 11, 40}) {
      const Matrix x = Random(rows);
      const std::vector<int32_t> positions = Positions(rows);
      DeviceRows q = NewRows(rows);
      backend_->ProjectQ(layer.device, Upload(x).rows(), positions, q.rows());
      const Matrix projected = ReferenceLinear(
          Input(ReferenceNorm(x, layer.norm1[0], layer.norm1[1])), layer.q,
          layer.q_bias);
      ExpectNear(Download(q), ReferenceRope(projected, positions, n_head()));
    }
  }
}

TEST_P(OpsTest, FinishAddsAttentionAndFeedForward) {
  for (const TestShape& shape : kTestShapes) {
    Make(shape.n_embd, shape.n_head, shape.ffn_size, shape.vocab_size);
    const TestLayer layer = MakeLayer();
    for (const int32_t rows : {1, 3, 17, 70}) {
      const Matrix x = Random(rows);
      const Matrix attended = Random(rows);
      DeviceRows device = Upload(x);
      backend_->Finish(layer.device, Upload(attended).rows(), device.rows());
      const Matrix middle =
          Sum(x, ReferenceLinear(Input(attended), layer.out, layer.out_bias));
      const Matrix gate_up = ReferenceLinear(
          Input(ReferenceNorm(middle, layer.norm2[0], layer.norm2[1])),
          layer.gate_up, {});
      ExpectNear(Download(device),
                 Sum(middle, ReferenceLinear(Input(ReferenceSwiGlu(gate_up)),
                                             layer.down, {})));
    }
  }
}

TEST_P(OpsTest, QkvTogetherIsQAndKvApart) {
  Make(72, 2, 100, 97);
  const TestLayer layer = MakeLayer();
  const int32_t rows = 19;
  const DeviceRows x = Upload(Random(rows));
  const std::vector<int32_t> positions = Positions(rows);
  TestBlock apart = MakeBlock(layer, 30, 1, 0);
  TestBlock together = MakeBlock(layer, 30, 1, 0);
  const auto places = [&](const TestBlock& block) {
    std::vector<KvRow> kv;
    for (int32_t row = 0; row < rows; ++row) {
      kv.push_back({block.block.data, 30, 29 - row});
    }
    return kv;
  };
  for (const TestBlock* block : {&apart, &together}) {  // same first row
    const std::vector<std::byte> zeros(block->buffer->size());
    GetParam().upload(zeros.data(), block->buffer->data(),
                      block->buffer->size());
  }
  DeviceRows q_apart = NewRows(rows);
  DeviceRows q_together = NewRows(rows);
  backend_->ProjectQ(layer.device, x.rows(), positions, q_apart.rows());
  backend_->ProjectKv(layer.device, x.rows(), positions, places(apart));
  backend_->ProjectQkv(layer.device, x.rows(), positions, q_together.rows(),
                       places(together));
  EXPECT_EQ(Download(q_apart).values, Download(q_together).values);
  EXPECT_EQ(Bytes(apart), Bytes(together));
}

// However the table's rows were cut when it was made, and with any others
// beside them.
TEST_P(OpsTest, WhatIsLookedUpHasTheBitsOfAProjection) {
  for (const TestShape& shape : kTestShapes) {
    Make(shape.n_embd, shape.n_head, shape.ffn_size, shape.vocab_size);
    const TestLayer layer = MakeLayer();
    const int32_t vocabulary = 60;
    const DeviceRows x = Upload(Random(vocabulary));
    const int64_t row_bytes = n_embd() * static_cast<int64_t>(sizeof(float));
    const auto table_memory =
        backend_->Allocate(vocabulary * 3 * row_bytes).value();
    auto* const table = reinterpret_cast<float*>(table_memory->data());
    for (int32_t first = 0; first < vocabulary; first += 25) {
      const int32_t rows = std::min(25, vocabulary - first);
      backend_->ProjectUnrotated(layer.device,
                                 {x.rows().data + first * n_embd(), rows},
                                 table + int64_t{first} * 3 * n_embd());
    }
    // Row i of 40 is token 7 i, modulo the vocabulary.
    const int32_t rows = 40;
    DeviceRows chosen = NewRows(rows);
    std::vector<TokenId> ids;
    std::vector<int32_t> positions;
    for (int32_t i = 0; i < rows; ++i) {
      ids.push_back(7 * i % vocabulary);
      positions.push_back(1000 * i);
      backend_->Copy(x.rows().data + ids.back() * n_embd(),
                     chosen.rows().data + i * n_embd(), row_bytes);
    }
    const TestBlock projected = MakeBlock(layer, rows, rows, 0);
    const TestBlock looked_up = MakeBlock(layer, rows, rows, 9);
    const auto places = [](const TestBlock& block) {
      std::vector<KvRow> kv;
      for (int32_t i = 0; i < rows; ++i) {
        kv.push_back({block.block.data, block.block.capacity, i});
      }
      return kv;
    };
    DeviceRows q_projected = NewRows(rows);
    DeviceRows q_looked_up = NewRows(rows);
    backend_->ProjectQkv(layer.device, chosen.rows(), positions,
                         q_projected.rows(), places(projected));
    backend_->LookUpQkv(table, ids, positions, q_looked_up.rows(),
                        places(looked_up));
    EXPECT_EQ(Download(q_looked_up).values, Download(q_projected).values);
    EXPECT_EQ(Bytes(looked_up), Bytes(projected));
    // Each half alone.
    const TestBlock alone = MakeBlock(layer, rows, rows, 5);
    DeviceRows q_alone = NewRows(rows);
    backend_->LookUpQkv(table, ids, positions, q_alone.rows(), {});
    backend_->LookUpQkv(table, ids, positions, Rows(), places(alone));
    EXPECT_EQ(Download(q_alone).values, Download(q_projected).values);
    EXPECT_EQ(Bytes(alone), Bytes(projected));
  }
}

TEST_P(OpsTest, NonFiniteRowsStayAmongThemselves) {
  Make(72, 2, 100, 97);
  const TestLayer layer = MakeLayer();
  const float infinity = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const Matrix clean = Random(20);
  Matrix dirty = clean;
  for (int64_t i = 0; i < n_embd(); ++i) {
    dirty.at(3, i) = i % 2 == 0 ? nan : infinity;
    dirty.at(11, i) = -infinity;
    dirty.at(12, i) = 3e38;
  }
  const auto run = [&](const Matrix& input) {
    DeviceRows x = Upload(input);
    backend_->Finish(layer.device, Upload(input).rows(), x.rows());
    return Download(x);
  };
  const Matrix expected = run(clean);
  const Matrix actual = run(dirty);
  for (int64_t row = 0; row < 20; ++row) {
    if (row == 3 || row == 11 || row == 12) continue;
    for (int64_t i = 0; i < n_embd(); ++i) {
      EXPECT_EQ(actual.at(row, i), expected.at(row, i));
    }
  }
  EXPECT_FALSE(std::isfinite(actual.at(3, 0)));
}

TEST_P(OpsTest, WeightsThatDoNotFitAreRefused) {
  Make(16, 2, 32, 50);
  const std::vector<float> data(64);
  const HostMatrix wide = {data.data(), DType::kF32, 2, 16};
  const HostMatrix narrow = {data.data(), DType::kF32, 2, 8};
  const HostMatrix vector = {data.data(), DType::kF32, 1, 16};
  const HostMatrix bias = {data.data(), DType::kF32, 1, 3};
  EXPECT_EQ(backend_->MakeLinear({}, {}).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(backend_->MakeLinear({wide, narrow}, {}).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(backend_->MakeLinear({wide}, bias).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(backend_->MakeNorm(vector, bias).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(backend_->MakeNorm(vector, vector).ok());
  EXPECT_FALSE(backend_->Allocate(-1).ok());
  EXPECT_EQ(backend_->Allocate(int64_t{1} << 62).status().code(),
            absl::StatusCode::kResourceExhausted);
}

INSTANTIATE_TEST_SUITE_P(All, OpsTest, testing::ValuesIn(Backends()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace tlin
