// What the cache needs of XLA's PJRT C interface: names, order and layout as in pjrt_c_api.h version 0.104 (The OpenXLA Authors,
// Apache-2.0). The interface only appends to its table and structs as long as its major version stays 0, and every struct tells
// its size.

#ifndef STPRUNE_EXECCACHE_PJRT_H
#define STPRUNE_EXECCACHE_PJRT_H

#include <stddef.h>

typedef struct PJRT_Error PJRT_Error;
typedef struct PJRT_Client PJRT_Client;
typedef struct PJRT_Executable PJRT_Executable;
typedef struct PJRT_LoadedExecutable PJRT_LoadedExecutable;
typedef struct PJRT_TopologyDescription PJRT_TopologyDescription;

// All functions take one pointer to their arguments. All that we call but PJRT_Error_Destroy return an error, null for none.
typedef struct {
  size_t struct_size;
  void* extension_start;
  size_t version_struct_size;
  void* version_extension_start;
  int major_version;
  int minor_version;
  void* functions[];
} PJRT_Api;

// Places in the table of functions.
enum {
  PJRT_Error_Destroy = 0,
  PJRT_Client_Compile = 20,
  PJRT_Executable_Destroy = 40,
  PJRT_Executable_Serialize = 49,
  PJRT_LoadedExecutable_GetExecutable = 51,
  PJRT_Executable_DeserializeAndLoad = 56,
  PJRT_TopologyDescription_PlatformVersion = 85,
  PJRT_TopologyDescription_Serialize = 87,
  PJRT_Client_TopologyDescription = 95,
};

typedef struct {
  size_t struct_size;
  void* extension_start;
  PJRT_Error* error;
} PJRT_Error_Destroy_Args;

typedef struct {
  size_t struct_size;
  void* extension_start;
  char* code;
  size_t code_size;
  const char* format;
  size_t format_size;
} PJRT_Program;

typedef struct {
  size_t struct_size;
  void* extension_start;
  PJRT_Client* client;
  const PJRT_Program* program;
  const char* compile_options;
  size_t compile_options_size;
  PJRT_LoadedExecutable* executable;  // out
} PJRT_Client_Compile_Args;

typedef struct {
  size_t struct_size;
  void* extension_start;
  PJRT_Executable* executable;
} PJRT_Executable_Destroy_Args;

typedef struct {
  size_t struct_size;
  void* extension_start;
  const PJRT_Executable* executable;
  const char* serialized_bytes;  // out
  size_t serialized_bytes_size;  // out
  void* serialized_executable;  // out
  void (*serialized_executable_deleter)(void*);  // out
} PJRT_Executable_Serialize_Args;

typedef struct {
  size_t struct_size;
  void* extension_start;
  PJRT_LoadedExecutable* loaded_executable;
  PJRT_Executable* executable;  // out
} PJRT_LoadedExecutable_GetExecutable_Args;

typedef struct {
  size_t struct_size;
  void* extension_start;
  PJRT_Client* client;
  const char* serialized_executable;
  size_t serialized_executable_size;
  PJRT_LoadedExecutable* loaded_executable;  // out
  const char* overridden_serialized_compile_options;
  size_t overridden_serialized_compile_options_size;
} PJRT_Executable_DeserializeAndLoad_Args;

typedef struct {
  size_t struct_size;
  void* extension_start;
  PJRT_Client* client;
  PJRT_TopologyDescription* topology;  // out
} PJRT_Client_TopologyDescription_Args;

typedef struct {
  size_t struct_size;
  void* extension_start;
  PJRT_TopologyDescription* topology;
  const char* platform_version;  // out
  size_t platform_version_size;  // out
} PJRT_TopologyDescription_PlatformVersion_Args;

typedef struct {
  size_t struct_size;
  void* extension_start;
  PJRT_TopologyDescription* topology;
  const char* serialized_bytes;  // out
  size_t serialized_bytes_size;  // out
  void* serialized_topology;  // out
  void (*serialized_topology_deleter)(void*);  // out
} PJRT_TopologyDescription_Serialize_Args;

// Ours, in hook.c.

enum { execcache_slots = 4 };

// execcache_open loads the library at path and returns its table; null when it has none.
const PJRT_Api* execcache_open(const char* path);

// execcache_copy copies a table. In the copy the compiler is execcacheCompile, called with the slot.
void execcache_copy(PJRT_Api* to, const PJRT_Api* from, int slot);

// execcache_call calls one of a table's functions.
PJRT_Error* execcache_call(const PJRT_Api* api, int function, void* args);

// execcache_destroy frees an error.
void execcache_destroy(const PJRT_Api* api, PJRT_Error* error);

// execcache_free has the plugin free what it serialised.
void execcache_free(void (*deleter)(void*), void* serialized);

#endif
