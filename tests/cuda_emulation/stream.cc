#include "tests/cuda_emulation/stream.h"

#include <set>
#include <utility>

#include "tests/cuda_emulation/device.h"
#include "tests/cuda_emulation/location.h"

namespace cuda_emulation {
namespace {

std::set<Stream*>& Streams() {
  static auto* const streams = new std::set<Stream*>;
  return *streams;
}

Stream& DefaultStream() {
  static auto* const stream = new Stream(0);
  return *stream;
}

cudaError_t EndOfCapture() {
  return TheDevice().Say(cudaErrorStreamCaptureUnsupported);
}

}  // namespace

void Stream::Enqueue(Work work) {
  if (captured_ != nullptr) {
    captured_->work.push_back(std::move(work));
    return;
  }
  queue_.push_back(std::move(work));
  ++enqueued_;
}

void Stream::RunUntil(uint64_t count) {
  if (done_ >= count) return;
  const DeviceMemory::Access access(&TheDevice().memory());
  while (done_ < count) {
    const Work work = std::move(queue_.front());
    queue_.pop_front();
    ++done_;
    if (TheDevice().lost() != cudaSuccess) continue;
    work.run();
  }
}

Stream& StreamOf(cudaStream_t handle) {
  if (handle == nullptr) return DefaultStream();
  auto* const stream = reinterpret_cast<Stream*>(handle);
  if (!Streams().contains(stream)) HostFault("a stream that is none");
  return *stream;
}

void RunAllStreams() {
  DefaultStream().RunAll();
  for (Stream* const stream : Streams()) stream->RunAll();
}

}  // namespace cuda_emulation

using cuda_emulation::DeviceMemory;
using cuda_emulation::EndOfCapture;
using cuda_emulation::Event;
using cuda_emulation::Graph;
using cuda_emulation::HostFault;
using cuda_emulation::Stream;
using cuda_emulation::StreamOf;
using cuda_emulation::Streams;
using cuda_emulation::TheDevice;
using cuda_emulation::Work;

extern "C" {

cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  *least = 0;
  *greatest = -5;
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* handle, unsigned,
                                         int priority) {
  auto* const stream = new Stream(priority);
  Streams().insert(stream);
  *handle = reinterpret_cast<cudaStream_t>(stream);
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* handle, unsigned flags) {
  return cudaStreamCreateWithPriority(handle, flags, 0);
}

cudaError_t cudaStreamDestroy(cudaStream_t handle) {
  Stream* const stream = &StreamOf(handle);
  stream->RunAll();
  Streams().erase(stream);
  delete stream;
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
  Stream& stream = StreamOf(handle);
  if (stream.capturing()) return EndOfCapture();
  ++TheDevice().counts.synchronizations;
  stream.RunAll();
  return TheDevice().Say(TheDevice().lost());
}

cudaError_t cudaDeviceSynchronize() {
  ++TheDevice().counts.synchronizations;
  cuda_emulation::RunAllStreams();
  return TheDevice().Say(TheDevice().lost());
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* handle, unsigned) {
  *handle = reinterpret_cast<cudaEvent_t>(new Event);
  return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t handle) {
  delete reinterpret_cast<Event*>(handle);
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t handle, cudaStream_t where) {
  Stream& stream = StreamOf(where);
  if (stream.capturing()) return EndOfCapture();
  *reinterpret_cast<Event*>(handle) = {&stream, stream.enqueued()};
  return TheDevice().Say(TheDevice().lost());
}

cudaError_t cudaEventSynchronize(cudaEvent_t handle) {
  const Event event = *reinterpret_cast<Event*>(handle);
  ++TheDevice().counts.synchronizations;
  if (event.stream != nullptr) event.stream->RunUntil(event.place);
  return TheDevice().Say(TheDevice().lost());
}

cudaError_t cudaEventQuery(cudaEvent_t handle) {
  const Event event = *reinterpret_cast<Event*>(handle);
  if (event.stream == nullptr || event.stream->done() >= event.place) {
    return TheDevice().Say(TheDevice().lost());
  }
  // Time passes only by asking.
  event.stream->RunUntil(event.stream->done() + 1);
  return cudaErrorNotReady;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t waiting, cudaEvent_t handle,
                                unsigned) {
  Stream& stream = StreamOf(waiting);
  if (stream.capturing()) return EndOfCapture();
  const Event event = *reinterpret_cast<Event*>(handle);
  stream.Enqueue({Work::Kind::kOther, [event] {
                    if (event.stream == nullptr) return;
                    event.stream->RunUntil(event.place);
                  }});
  return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t handle,
                                   enum cudaStreamCaptureMode) {
  Stream& stream = StreamOf(handle);
  if (stream.capturing()) return TheDevice().Say(cudaErrorIllegalState);
  stream.BeginCapture();
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t* graph) {
  Stream& stream = StreamOf(handle);
  if (!stream.capturing()) return TheDevice().Say(cudaErrorIllegalState);
  *graph = reinterpret_cast<cudaGraph_t>(stream.EndCapture().release());
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph,
                                 unsigned long long) {
  ++TheDevice().counts.captures;
  *executable = reinterpret_cast<cudaGraphExec_t>(
      new Graph(*reinterpret_cast<Graph*>(graph)));
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t handle) {
  Stream& stream = StreamOf(handle);
  if (stream.capturing()) return EndOfCapture();
  ++TheDevice().counts.graph_launches;
  for (const Work& work : reinterpret_cast<Graph*>(executable)->work) {
    if (work.kind == Work::Kind::kKernel) ++TheDevice().counts.launches;
    stream.Enqueue(work);
  }
  return TheDevice().Say(TheDevice().lost());
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete reinterpret_cast<Graph*>(graph);
  return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  delete reinterpret_cast<Graph*>(executable);
  return cudaSuccess;
}

}  // extern "C"
