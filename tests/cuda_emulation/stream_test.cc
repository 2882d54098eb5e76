// Streams do nothing until they are waited for; events, graphs, copies.
#include <gtest/gtest.h>

#include <vector>

#include "gpu/device.h"
#include "tests/cuda_emulation/control.h"
#include "tests/cuda_emulation/testing.h"

namespace cuda_emulation {
namespace {

__global__ void Add(int* value, int by) { *value += by; }
__global__ void Double(int* value) { *value *= 2; }

class StreamTest : public testing::Test {
 protected:
  void SetUp() override {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    int least = 0;
    int greatest = 0;
    ASSERT_EQ(cudaDeviceGetStreamPriorityRange(&least, &greatest), cudaSuccess);
    EXPECT_LT(greatest, least);
    for (cudaStream_t& stream : streams_) {
      ASSERT_EQ(
          cudaStreamCreateWithPriority(&stream, cudaStreamNonBlocking, least),
          cudaSuccess);
    }
    void* pinned = nullptr;
    ASSERT_EQ(cudaMallocHost(&pinned, sizeof(int)), cudaSuccess);
    pinned_ = static_cast<int*>(pinned);
  }
  void TearDown() override {
    for (const cudaStream_t stream : streams_) cudaStreamDestroy(stream);
    cudaFreeHost(pinned_);
  }

  void ReadBack(int index) {
    EXPECT_EQ(cudaMemcpyAsync(pinned_, value_.data(), sizeof(int),
                              cudaMemcpyDeviceToHost, streams_[index]),
              cudaSuccess);
  }
  cudaError_t AddIn(int index, int by) {
    return gpu::Launch(Add, 1, 1, 0, streams_[index], value_.data(), by);
  }

  cudaStream_t streams_[2] = {};
  OnDevice<int> value_{std::vector<int>{1}};
  int* pinned_ = nullptr;
};

TEST_F(StreamTest, AReadBackIsThereWhenItWasWaitedFor) {
  *pinned_ = -1;
  EXPECT_EQ(AddIn(0, 4), cudaSuccess);
  ReadBack(0);
  EXPECT_EQ(*pinned_, -1) << "nobody waited";
  EXPECT_EQ(cudaStreamSynchronize(streams_[0]), cudaSuccess);
  EXPECT_EQ(*pinned_, 5);
}

TEST_F(StreamTest, PinnedMemoryIsReadWhenTheCopyRuns) {
  *pinned_ = 10;
  EXPECT_EQ(cudaMemcpyAsync(value_.data(), pinned_, sizeof(int),
                            cudaMemcpyHostToDevice, streams_[0]),
            cudaSuccess);
  *pinned_ = 20;  // too early
  EXPECT_EQ(cudaStreamSynchronize(streams_[0]), cudaSuccess);
  EXPECT_EQ(value_.Read().at(0), 20);
  int pageable = 30;
  EXPECT_EQ(cudaMemcpyAsync(value_.data(), &pageable, sizeof(int),
                            cudaMemcpyHostToDevice, streams_[0]),
            cudaSuccess);
  pageable = 40;
  EXPECT_EQ(cudaStreamSynchronize(streams_[0]), cudaSuccess);
  EXPECT_EQ(value_.Read().at(0), 30);
}

TEST_F(StreamTest, AnEventPutsStreamsInOrder) {
  cudaEvent_t event = nullptr;
  ASSERT_EQ(cudaEventCreateWithFlags(&event, cudaEventDisableTiming),
            cudaSuccess);
  EXPECT_EQ(AddIn(0, 2), cudaSuccess);
  EXPECT_EQ(cudaEventRecord(event, streams_[0]), cudaSuccess);
  EXPECT_EQ(AddIn(0, 100), cudaSuccess);
  EXPECT_EQ(cudaStreamWaitEvent(streams_[1], event, 0), cudaSuccess);
  EXPECT_EQ(gpu::Launch(Double, 1, 1, 0, streams_[1], value_.data()),
            cudaSuccess);
  ReadBack(1);
  EXPECT_EQ(cudaStreamSynchronize(streams_[1]), cudaSuccess);
  EXPECT_EQ(*pinned_, 6) << "what was recorded, and no more";
  EXPECT_EQ(cudaEventSynchronize(event), cudaSuccess);
  EXPECT_EQ(cudaEventQuery(event), cudaSuccess);
  EXPECT_EQ(cudaEventDestroy(event), cudaSuccess);
}

TEST_F(StreamTest, WithoutAnEventThereIsNoOrder) {
  EXPECT_EQ(AddIn(0, 2), cudaSuccess);
  EXPECT_EQ(gpu::Launch(Double, 1, 1, 0, streams_[1], value_.data()),
            cudaSuccess);
  ReadBack(1);
  EXPECT_EQ(cudaStreamSynchronize(streams_[1]), cudaSuccess);
  EXPECT_EQ(*pinned_, 2);
}

TEST_F(StreamTest, AGraphIsReplayed) {
  const Counts before = DeviceCounts();
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  ASSERT_EQ(
      cudaStreamBeginCapture(streams_[0], cudaStreamCaptureModeThreadLocal),
      cudaSuccess);
  EXPECT_EQ(AddIn(0, 1), cudaSuccess);
  EXPECT_EQ(gpu::Launch(Double, 1, 1, 0, streams_[0], value_.data()),
            cudaSuccess);
  ReadBack(0);
  EXPECT_EQ(cudaStreamSynchronize(streams_[0]),
            cudaErrorStreamCaptureUnsupported);
  ASSERT_EQ(cudaStreamEndCapture(streams_[0], &graph), cudaSuccess);
  ASSERT_EQ(cudaGraphInstantiate(&executable, graph, 0), cudaSuccess);
  EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
  EXPECT_EQ(value_.Read().at(0), 1) << "a capture runs nothing";
  for (const int expected : {4, 10, 22}) {
    EXPECT_EQ(cudaGraphLaunch(executable, streams_[0]), cudaSuccess);
    EXPECT_EQ(cudaStreamSynchronize(streams_[0]), cudaSuccess);
    EXPECT_EQ(*pinned_, expected);
  }
  EXPECT_EQ(cudaGraphExecDestroy(executable), cudaSuccess);
  const Counts after = DeviceCounts();
  EXPECT_EQ(after.captures - before.captures, 1);
  EXPECT_EQ(after.graph_launches - before.graph_launches, 3);
  EXPECT_EQ(after.launches - before.launches, 6);
  cudaGetLastError();
}

TEST_F(StreamTest, AStreamThatIsNoneIsAFault) {
  int something = 0;
  EXPECT_DEATH(
      cudaStreamSynchronize(reinterpret_cast<cudaStream_t>(&something)),
      "a stream that is none");
}

}  // namespace
}  // namespace cuda_emulation
