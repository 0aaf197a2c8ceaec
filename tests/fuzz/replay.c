/* Runs a fuzz target once over each file, or each file of each folder, named on the command line.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "fuzz.h"

#define MAX_BYTES (4u << 20)

static unsigned n_files;

static int run_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	uint8_t *buf = malloc(MAX_BYTES);
	size_t n;

	if (f == NULL || buf == NULL) {
		perror(path);
		free(buf);
		return 1;
	}
	n = fread(buf, 1, MAX_BYTES, f);
	fclose(f);
	uint8_t *exact = malloc(n + 1); /* so that a sanitizer sees where the input ends */
	if (exact != NULL) {
		memcpy(exact, buf, n);
		LLVMFuzzerTestOneInput(exact, n);
		n_files++;
	}
	free(exact);
	free(buf);
	return 0;
}

static int run_path(const char *path)
{
	DIR *d = opendir(path);
	char name[4096];
	int r = 0;

	if (d == NULL)
		return run_file(path);
	for (const struct dirent *e; (e = readdir(d)) != NULL;) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(name, sizeof(name), "%s/%s", path, e->d_name);
		r |= run_file(name);
	}
	closedir(d);
	return r;
}

int main(int argc, char **argv)
{
	int r = 0;

	for (int i = 1; i < argc; i++)
		r |= run_path(argv[i]);
	printf("%u inputs\n", n_files);
	return n_files == 0 ? 1 : r;
}
