// What gRPC and protobuf have to say, as JSON lines like ours.
#ifndef TLIN_SERVER_LIBRARY_LOGS_H_
#define TLIN_SERVER_LIBRARY_LOGS_H_

namespace tlin {

// For the whole process: these libraries know no other way. Before their first
// use. protobuf's complaints about what clients send are dropped: the client is
// told, and would else write our log.
void LogLibrariesAsJson();

}  // namespace tlin

#endif  // TLIN_SERVER_LIBRARY_LOGS_H_
