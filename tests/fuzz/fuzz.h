/*
 * What a fuzz target is: fuzz_NAME.c has this one function, which takes any bytes and must neither
 * crash, leak, hang nor trip a sanitizer. With -Dfuzz=true it is linked with libFuzzer; otherwise
 * with replay.c, which runs it over the files of corpus/NAME. libFuzzer calls
 * LLVMFuzzerInitialize() first, in those targets that have one.
 */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
#endif
