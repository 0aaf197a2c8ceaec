/*
 * sieve: counts primes by Eratosthenes' sieve, some tenths of a second of one CPU. It runs in the
 * guest and on the host, for a ratio: who runs it takes the time between its two lines.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define LIMIT 2000000u
#define ROUNDS 100u

static uint8_t composite[LIMIT];

static unsigned count_primes(void)
{
	unsigned n = 0;

	memset(composite, 0, sizeof(composite));
	for (unsigned i = 2; i < LIMIT; i++) {
		if (composite[i])
			continue;
		n++;
		for (unsigned k = 2 * i; k < LIMIT; k += i)
			composite[k] = 1;
	}
	return n;
}

int main(void)
{
	unsigned n = 0;

	puts("sieve: begin");
	fflush(stdout);
	for (unsigned r = 0; r < ROUNDS; r++)
		n += count_primes();
	printf("sieve: %u primes\n", n);
	return 0;
}
