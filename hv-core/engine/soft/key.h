/* The bits of soft_vcpu.key: all of the mode that decoding depends on. */
#ifndef SOFT_KEY_H
#define SOFT_KEY_H
#define KEY_CODE64 (1u << 0)
#define KEY_CODE32 (1u << 1)
#define KEY_STACK32 (1u << 2)
#define KEY_LONG (1u << 3)
#define KEY_PE (1u << 4)
#define KEY_VM (1u << 5)
#define KEY_FLAT_CS (1u << 6) /* base 0, limit 4 GiB - 1 */
#define KEY_USER (1u << 7)    /* CPL 3 */
#define KEY_NOT_CPL0 (1u << 8)
#define KEY_TS (1u << 9)
#define KEY_EM (1u << 10)
#define KEY_MP (1u << 11)
#define KEY_OSFXSR (1u << 12)
#define KEY_OSXSAVE (1u << 13)
#define KEY_AVX (1u << 14)   /* XCR0 has SSE and AVX */
#define KEY_ALIGN (1u << 15) /* alignment checks are on */
#define KEY_MODE_SHIFT 22    /* enum soft_access_mode, two bits: only with a translator */
#define KEY_FLAT_SHIFT 16    /* soft_vcpu.flat: ES, CS, SS, DS, FS, GS */
/* Not 64-bit code; FS or GS is writable data up to offset 4 GiB - 1, whatever its base */
#define KEY_OPEN(seg) (1u << (24 + ((seg) == X86_GS)))
#endif
