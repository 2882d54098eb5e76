#include "server/process_memory.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace tlin {
namespace {

TEST(ProcessMemoryTest, IsPlausible) {
  EXPECT_GT(ResidentMemoryBytes(), 1 << 20);
  const DeviceMemory host = HostMemory();
  EXPECT_GT(host.free, 0);
  EXPECT_GT(host.total, host.free);
  EXPECT_GT(host.total, ResidentMemoryBytes());
}

// A machine of 1000 KiB, 600 of them free, as files below a folder.
class HostMemoryTest : public ::testing::Test {
 protected:
  HostMemoryTest() {
    Write("/proc/meminfo",
          "MemTotal:  1000 kB\nMemFree:  1 kB\nMemAvailable:  600 kB\n"
          "HugePages_Total:  0\n");
  }
  ~HostMemoryTest() override { std::filesystem::remove_all(root_); }

  void Write(const std::string& path, const std::string& text) {
    const std::filesystem::path file = root_ + path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  void Expect(int64_t total, int64_t free) {
    const DeviceMemory memory = HostMemory(root_);
    EXPECT_EQ(memory.total, total);
    EXPECT_EQ(memory.free, free);
  }

  const std::string root_ =
      ::testing::TempDir() + "host-memory-" +
      ::testing::UnitTest::GetInstance()->current_test_info()->name();
};

constexpr char kVersion2[] = "/sys/fs/cgroup";
constexpr char kVersion1[] = "/sys/fs/cgroup/memory";

TEST_F(HostMemoryTest, WithoutGroupsIsTheMachines) {
  Expect(1000 * 1024, 600 * 1024);
}

TEST_F(HostMemoryTest, TheTightestGroupAboveLimitsIt) {
  const std::string top = kVersion2;
  Write("/proc/self/cgroup", "0::/pod/container\n");
  Write(top + "/pod/container/memory.max", "max\n");
  Write(top + "/pod/container/memory.current", "9000\n");
  Write(top + "/pod/memory.max", "50000\n");
  Write(top + "/pod/memory.current", "30000\n");
  Write(top + "/pod/memory.stat", "anon 20000\ninactive_file 10000\n");
  Expect(50000, 30000);
  Write(top + "/pod/container/memory.max", "10000\n");
  Expect(10000, 1000);
  Write(top + "/pod/container/memory.current", "10001\n");
  Expect(10000, 0);
}

TEST_F(HostMemoryTest, AContainerSeesItsGroupAtTheTop) {
  Write("/proc/self/cgroup", "0::/\n");
  Write(std::string(kVersion2) + "/memory.max", "40000\n");
  Write(std::string(kVersion2) + "/memory.current", "5000\n");
  Expect(40000, 35000);
}

TEST_F(HostMemoryTest, Version1AndAGroupThatIsOutOfSight) {
  const std::string top = kVersion1;
  Write("/proc/self/cgroup",
        "5:cpu,cpuacct:/elsewhere\n4:memory:/docker/0123\n0::/\n");
  Write(top + "/memory.limit_in_bytes", "70000\n");
  Write(top + "/memory.usage_in_bytes", "20000\n");
  Write(top + "/memory.stat", "cache 1\ntotal_inactive_file 5000\n");
  Expect(70000, 55000);
  // How version 1 says that there is no limit.
  Write(top + "/memory.limit_in_bytes", "9223372036854771712\n");
  Expect(1000 * 1024, 600 * 1024);
}

}  // namespace
}  // namespace tlin
