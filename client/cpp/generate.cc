// Streams a continuation from tlind: an example to start a C++ client from.
//
//   tlin_cpp_example ADDRESS TEXT
//
// Exits with 1 and one line on stderr where the call fails.
#include <iostream>

#include "client/client.h"

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: " << argv[0] << " ADDRESS TEXT\n";
    return 2;
  }
  tlin::client::Client client(argv[1]);
  tlin::v1::GenerateRequest request;
  request.set_text(argv[2]);
  request.mutable_sampling()->set_temperature(0.8f);
  request.mutable_stopping()->set_max_new_tokens(64);

  // The server sees the deadline, too, and ends the answer in time.
  const auto stream = client.Generate(request, {.deadline = absl::Seconds(30)});
  tlin::v1::GenerateResponse event;
  while (stream->Next(&event)) {
    if (event.has_chunk()) std::cout << event.chunk().text() << std::flush;
  }
  std::cout << "\n";
  const absl::Status status = stream->Finish();
  if (!status.ok()) std::cerr << status << "\n";
  return status.ok() ? 0 : 1;
}
