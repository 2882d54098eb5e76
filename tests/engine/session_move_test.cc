// Sessions that move from one engine to another as bytes.
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/harness.h"

namespace tlin {
namespace {

using ::testing::IsEmpty;

std::shared_ptr<RecordingSink> Turn(Harness* harness,
                                    const std::string& session, int64_t prompt,
                                    uint64_t salt) {
  Request request = Harness::MakeRequest(prompt, 6, salt);
  request.session_id = session;
  auto sink = harness->Submit(std::move(request));
  EXPECT_TRUE(harness->RunUntilIdle());
  EXPECT_TRUE(sink->finished().has_value()) << sink->status();
  return sink;
}

std::string ExportBytes(Harness* harness, const std::string& session) {
  const auto snapshot = harness->Ask(
      [&](Sessions& sessions) { return sessions.Export(session); });
  EXPECT_TRUE(snapshot.ok()) << snapshot.status();
  return EncodeSnapshot(*snapshot, harness->model.info());
}

absl::Status ImportBytes(Harness* harness, const std::string& session,
                         const std::string& bytes) {
  auto snapshot = DecodeSnapshot(bytes, "bytes", harness->model);
  if (!snapshot.ok()) return snapshot.status();
  return harness
      ->Ask([&](Sessions& sessions) {
        return sessions.Import(session, *std::move(snapshot));
      })
      .status();
}

PuppetOptions OneSlot() {
  PuppetOptions options;
  options.slots = 1;
  return options;
}

TEST(SessionMoveTest, GoesOnElsewhereAtEveryPlaceOfAWindow) {
  for (int64_t prompt = 1; prompt <= 20; ++prompt) {
    Harness here;
    Harness there(OneSlot());
    here.Ask([](Sessions& s) { return s.Create("a"); }).IgnoreError();
    Turn(&here, "a", prompt, 1);
    ASSERT_TRUE(ImportBytes(&there, "b", ExportBytes(&here, "a")).ok());
    // It stays here, too.
    for (const uint64_t salt : {2, 3}) {
      const auto stayed = Turn(&here, "a", 7, salt);
      const auto moved = Turn(&there, "b", 7, salt);
      EXPECT_EQ(moved->token_ids(), stayed->token_ids());
      EXPECT_EQ(moved->start()->cached_tokens, stayed->start()->cached_tokens);
    }
    EXPECT_EQ(ExportBytes(&there, "b").substr(112),
              ExportBytes(&here, "a").substr(112))
        << "but for the times in the header";
    EXPECT_THAT(there.model.faults, IsEmpty());
  }
}

TEST(SessionMoveTest, AnEmptySessionMoves) {
  Harness here, there;
  here.Ask([](Sessions& s) { return s.Create("a"); }).IgnoreError();
  ASSERT_TRUE(ImportBytes(&there, "a", ExportBytes(&here, "a")).ok());
  EXPECT_EQ(Turn(&there, "a", 3, 1)->token_ids(),
            Turn(&here, "a", 3, 1)->token_ids());
}

TEST(SessionMoveTest, AnImportNeedsANameAndRoom) {
  EngineOptions options = Harness::DefaultOptions();
  options.sessions.max_sessions = 2;
  Harness harness({}, options);
  harness.Ask([](Sessions& s) { return s.Create("a"); }).IgnoreError();
  Turn(&harness, "a", 9, 1);
  const std::string bytes = ExportBytes(&harness, "a");
  EXPECT_TRUE(absl::IsAlreadyExists(ImportBytes(&harness, "a", bytes)));
  EXPECT_TRUE(ImportBytes(&harness, "b", bytes).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(ImportBytes(&harness, "c", bytes)));
  EXPECT_TRUE(absl::IsNotFound(
      harness.Ask([](Sessions& s) { return s.Export("c"); }).status()));
  // The exported one and the imported one have a state each.
  EXPECT_EQ(harness.listener.totals().state.host_state_bytes, 2 * 14 * 4);
}

TEST(SessionMoveTest, NotWhileARequestRuns) {
  Harness harness;
  harness.Ask([](Sessions& s) { return s.Create("a"); }).IgnoreError();
  Request request = Harness::MakeRequest(3, 30);
  request.session_id = "a";
  harness.Submit(std::move(request));
  harness.Step();
  EXPECT_TRUE(absl::IsFailedPrecondition(
      harness.Ask([](Sessions& s) { return s.Export("a"); }).status()));
  EXPECT_TRUE(harness.RunUntilIdle());
}

}  // namespace
}  // namespace tlin
