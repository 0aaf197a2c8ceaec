/*
 * What a file is. An input is a file's length (u64, little endian; at least what follows), then its
 * beginning; the last bytes are its end, too.
 */
#include <stdlib.h>
#include <string.h>
#include "base/util.h"
#include "devmodel/storage/kind.h"
#include "fuzz.h"

static void must(bool ok)
{
	if (!ok)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct image_bytes b = { 0 };
	struct image_guess g;

	if (size < 8)
		return 0;
	memcpy(&b.bytes, data, 8);
	b.n_head = hv_min_u64(size - 8, IMAGE_HEAD_BYTES);
	b.bytes = hv_max_u64(b.bytes, b.n_head);
	if (b.n_head < IMAGE_HEAD_BYTES)
		b.bytes = b.n_head;
	/* Exactly that long, so that a sanitizer sees what is read beyond. */
	uint8_t *head = malloc(b.n_head + 1);
	must(head != NULL);
	memcpy(head, data + 8, b.n_head);
	b.head = head;
	if (size >= sizeof(b.tail))
		memcpy(b.tail, data + size - sizeof(b.tail), sizeof(b.tail));
	image_recognise(&b, &g);
	must(g.kind < IMAGE_N_KINDS && g.also < IMAGE_CONTAINER && g.what != NULL);
	must(g.also == IMAGE_UNKNOWN || (g.also != g.kind && g.doubt != NULL));
	must(image_option(g.kind) != NULL);
	free(head);
	return 0;
}
