// Snapshots: what goes in comes out, and no other bytes do.
#include "engine/session/snapshot.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/checksum.h"
#include "tests/testing/puppet_model.h"

namespace tlin {
namespace {

using ::testing::HasSubstr;

class SnapshotTest : public ::testing::Test {
 protected:
  // Of `tokens` token ids, and a state as far as `fed`.
  Snapshot Make(int64_t tokens, int64_t fed) {
    Snapshot snapshot;
    for (int64_t i = 0; i < tokens; ++i) {
      snapshot.tokens.push_back(static_cast<TokenId>(i * 7 % 28));
    }
    if (fed > 0) {
      auto state = std::make_shared<SavedState>();
      state->extent.history_tokens = HistoryOf(fed, 8);
      state->extent.window_tokens = fed - state->extent.history_tokens;
      state->bytes.resize(fed * sizeof(TokenId));
      std::memcpy(state->bytes.data(), snapshot.tokens.data(),
                  state->bytes.size());
      snapshot.state = std::move(state);
    }
    snapshot.created = absl::FromUnixSeconds(1'700'000'000);
    snapshot.last_used = snapshot.created + absl::Nanoseconds(5'000'000'123);
    return snapshot;
  }
  std::string Encode(const Snapshot& snapshot) {
    return EncodeSnapshot(snapshot, model_.info());
  }
  absl::StatusOr<Snapshot> Decode(absl::string_view bytes) {
    return DecodeSnapshot(bytes, "file", model_);
  }
  void ExpectFault(absl::string_view bytes, absl::StatusCode code,
                   const char* part) {
    const absl::Status status = Decode(bytes).status();
    EXPECT_EQ(status.code(), code) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("file: "));
    EXPECT_THAT(std::string(status.message()), HasSubstr(part));
  }
  // With a header changed at `offset`, its checksum made right again.
  template <class T>
  std::string WithHeader(std::string bytes, size_t offset, const T& value) {
    std::memcpy(&bytes[offset], &value, sizeof(value));
    const uint64_t checksum = Checksum(absl::string_view(bytes).substr(0, 104));
    std::memcpy(&bytes[104], &checksum, sizeof(checksum));
    return bytes;
  }

  PuppetModel model_{{}};
};

TEST_F(SnapshotTest, WhatGoesInComesOut) {
  for (const auto& [tokens, fed] : std::vector<std::pair<int64_t, int64_t>>{
           {0, 0}, {5, 0}, {1, 1}, {9, 8}, {100, 99}, {4096, 4096}}) {
    const Snapshot snapshot = Make(tokens, fed);
    const std::string bytes = Encode(snapshot);
    EXPECT_EQ(static_cast<int64_t>(bytes.size()),
              SnapshotBytes(tokens, fed * 4));
    const auto back = Decode(bytes);
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_EQ(back->tokens, snapshot.tokens);
    EXPECT_EQ(back->created, snapshot.created);
    EXPECT_EQ(back->last_used, snapshot.last_used);
    ASSERT_EQ(back->state == nullptr, fed == 0);
    if (fed == 0) continue;
    EXPECT_EQ(back->state->extent, snapshot.state->extent);
    EXPECT_EQ(back->state->bytes, snapshot.state->bytes);
  }
}

TEST_F(SnapshotTest, EachTruncationIsNoticed) {
  const std::string bytes = Encode(Make(20, 18));
  for (size_t size = 0; size < bytes.size(); ++size) {
    ExpectFault(absl::string_view(bytes).substr(0, size),
                absl::StatusCode::kDataLoss, "bytes");
  }
  ExpectFault(bytes + "x", absl::StatusCode::kDataLoss, "bytes");
}

TEST_F(SnapshotTest, EachChangedBitIsNoticed) {
  const std::string bytes = Encode(Make(20, 18));
  for (size_t at = 0; at < bytes.size(); ++at) {
    for (const int bit : {0, 7}) {
      std::string changed = bytes;
      changed[at] = static_cast<char>(changed[at] ^ (1 << bit));
      EXPECT_FALSE(Decode(changed).ok()) << "byte " << at;
    }
  }
}

TEST_F(SnapshotTest, EachFaultHasItsMessage) {
  const std::string bytes = Encode(Make(20, 18));
  constexpr auto kData = absl::StatusCode::kDataLoss;
  constexpr auto kPrecondition = absl::StatusCode::kFailedPrecondition;
  constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
  ExpectFault(std::string(200, 'x'), kData, "is no snapshot");
  ExpectFault(WithHeader(bytes, 8, uint32_t{2}), kPrecondition, "version 2");
  ExpectFault(WithHeader(bytes, 8, uint32_t{1} << 24), kPrecondition,
              "the other byte order");
  std::string damaged = bytes;
  damaged[20] = 'z';
  ExpectFault(damaged, kData, "the header is damaged");
  damaged = bytes;
  damaged[112] = 'z';
  ExpectFault(damaged, kData, "token ids at offset 112");
  damaged = bytes;
  damaged[bytes.size() - 9] = 'z';
  ExpectFault(damaged, kData, "state at offset 200");
  ExpectFault(WithHeader(bytes, 16, 'g'), kPrecondition, "of the model g");
  ExpectFault(WithHeader(bytes, 48, 'b'), kPrecondition, "want f32");
  ExpectFault(WithHeader(bytes, 56, uint64_t{1} << 62), kInvalid,
              "a context has 4096");
  ExpectFault(WithHeader(bytes, 56, uint64_t{21}), kData, "its header tells");
  ExpectFault(WithHeader(bytes, 56, uint64_t{17}), kInvalid, "none such");
  ExpectFault(WithHeader(bytes, 64, int64_t{3}), kInvalid, "none such");
  ExpectFault(WithHeader(bytes, 64, int64_t{-8}), kInvalid, "none such");
  ExpectFault(WithHeader(bytes, 72, int64_t{9}), kInvalid, "none such");
  ExpectFault(WithHeader(bytes, 80, ~uint64_t{0}),
              absl::StatusCode::kFailedPrecondition, "--derived_history");
  Snapshot strange = Make(20, 18);
  strange.tokens[3] = 28;
  ExpectFault(Encode(strange), kInvalid, "token 3 is 28");
}

}  // namespace
}  // namespace tlin
