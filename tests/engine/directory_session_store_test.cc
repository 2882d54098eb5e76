// Sessions as files: whole or not at all, and errors that name the place.
#include "engine/session/directory_session_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace tlin {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class DirectorySessionStoreTest : public ::testing::Test {
 protected:
  DirectorySessionStoreTest()
      : directory_(
            fs::path(::testing::TempDir()) /
            ("tlin-store-" + std::string(::testing::UnitTest::GetInstance()
                                             ->current_test_info()
                                             ->name()))) {
    fs::remove_all(directory_);
  }
  ~DirectorySessionStoreTest() override { fs::remove_all(directory_); }

  std::unique_ptr<DirectorySessionStore> Open() {
    auto store = DirectorySessionStore::Open(directory_.string());
    EXPECT_TRUE(store.ok()) << store.status();
    return *std::move(store);
  }
  void Write(const std::string& name, const std::string& bytes) {
    std::ofstream(directory_ / name) << bytes;
  }

  const fs::path directory_;
};

constexpr int64_t kAll = int64_t{1} << 40;

TEST_F(DirectorySessionStoreTest, WhatIsPutIsThereForTheNextOne) {
  const std::string large(3'000'000, 'x');
  {
    const auto store = Open();
    EXPECT_THAT(*store->List(), IsEmpty());
    ASSERT_TRUE(store->Put("b", "old").ok());
    ASSERT_TRUE(store->Put("a.1_-Z", large).ok());
    ASSERT_TRUE(store->Put("b", "new").ok());
    ASSERT_TRUE(store->Put("c", "").ok());
    ASSERT_TRUE(store->Delete("c").ok());
    ASSERT_TRUE(store->Delete("never").ok());
  }
  const auto store = Open();
  EXPECT_THAT(*store->List(), ElementsAre("a.1_-Z", "b"));
  EXPECT_EQ(*store->Get("b", kAll), "new");
  EXPECT_EQ(*store->Get("b", 2), "ne");
  EXPECT_EQ(*store->Get("a.1_-Z", kAll), large);
  const absl::Status missing = store->Get("c", kAll).status();
  EXPECT_TRUE(absl::IsNotFound(missing));
  EXPECT_THAT(std::string(missing.message()), HasSubstr("c.session"));
}

TEST_F(DirectorySessionStoreTest, WhatACrashLeftHalfWrittenIsGone) {
  fs::create_directories(directory_);
  Write(".a.tmp", "half");
  Write("a.session", "whole");
  Write("notes.txt", "somebody's");
  const auto store = Open();
  EXPECT_THAT(*store->List(), ElementsAre("a"));
  EXPECT_FALSE(fs::exists(directory_ / ".a.tmp"));
  EXPECT_TRUE(fs::exists(directory_ / "notes.txt"));
}

TEST_F(DirectorySessionStoreTest, WhatIsSetAsideIsKept) {
  const auto store = Open();
  ASSERT_TRUE(store->Put("a", "damaged").ok());
  ASSERT_TRUE(store->SetAside("a").ok());
  EXPECT_THAT(*store->List(), IsEmpty());
  EXPECT_TRUE(fs::exists(directory_ / "a.damaged"));
}

TEST_F(DirectorySessionStoreTest, OneProcessAtATime) {
  const auto store = Open();
  const absl::Status second =
      DirectorySessionStore::Open(directory_.string()).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(second));
  EXPECT_THAT(std::string(second.message()),
              HasSubstr(directory_.string() + ": another process"));
}

TEST_F(DirectorySessionStoreTest, ErrorsNameThePlace) {
  std::ofstream(directory_) << "a file";
  const absl::Status no_directory =
      DirectorySessionStore::Open(directory_.string()).status();
  EXPECT_FALSE(no_directory.ok());
  EXPECT_THAT(std::string(no_directory.message()),
              HasSubstr(directory_.string()));
  fs::remove(directory_);
  const auto store = Open();
  fs::create_directories(directory_ / ".a.tmp");
  const absl::Status put = store->Put("a", "x");
  EXPECT_FALSE(put.ok());
  EXPECT_THAT(std::string(put.message()), HasSubstr(".a.tmp"));
  fs::create_directories(directory_ / "b.session/full");
  EXPECT_FALSE(store->Put("b", "x").ok());
  EXPECT_FALSE(store->Delete("b").ok());
  EXPECT_FALSE(store->SetAside("c").ok());
}

}  // namespace
}  // namespace tlin
