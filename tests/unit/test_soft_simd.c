/*
 * hv-core/engine/soft: re-encoding of vector instructions, the stubs that run them, what becomes of
 * their exceptions, and the guest's registers on their way between the host's and the saved state.
 */
#include "ctest.h"
#include <stdlib.h>
#include "engine/soft/decode.h"
#include "engine/soft/fpu.h"

static struct soft_vm vm;
static struct soft_vcpu *v;

static int setup(void **state)
{
	struct err e;

	(void)state;
	v = calloc(1, sizeof(*v));
	assert_non_null(v);
	v->vm = &vm;
	assert_ok(soft_stubs_create(&vm, &e), &e);
	assert_ok(soft_fpu_create(v, &e), &e);
	assert_ok(soft_fpu_thread_start(v, &e), &e);
	memcpy(v->s.xsave, &(struct fpu_image){ .fcw = 0x37f, .mxcsr = FPU_MXCSR_RESET },
	       sizeof(v->s.xsave));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	soft_fpu_destroy(v);
	soft_stubs_destroy(&vm);
	free(v);
	return 0;
}

static void decode_in(ZydisMachineMode mode, const uint8_t *b, unsigned n, struct decoded *d)
{
	ZydisDecoder dec;
	ZydisStackWidth w = mode == ZYDIS_MACHINE_MODE_LONG_64 ? ZYDIS_STACK_WIDTH_64
							       : ZYDIS_STACK_WIDTH_32;

	memset(d, 0, sizeof(*d));
	memcpy(d->bytes, b, n);
	d->v = v;
	assert_true(ZYAN_SUCCESS(ZydisDecoderInit(&dec, mode, w)));
	assert_true(ZYAN_SUCCESS(ZydisDecoderDecodeFull(&dec, d->bytes, 15, &d->z, d->op)));
}

struct sample {
	ZydisMachineMode mode;
	uint8_t in[12], n_in;
	uint8_t out[8], n_out;
};

#define M64 ZYDIS_MACHINE_MODE_LONG_64
#define M32 ZYDIS_MACHINE_MODE_LONG_COMPAT_32

static void encodes_for_the_host(void **state)
{
	static const struct sample samples[] = {
		/* addps xmm9, [r8 + rcx * 4 + 0x10] */
		{ M64, { 0x45, 0x0f, 0x58, 0x4c, 0x88, 0x10 }, 6, { 0x44, 0x0f, 0x58, 0x0f }, 4 },
		/* movq rbx, xmm2: R9 */
		{ M64, { 0x66, 0x48, 0x0f, 0x7e, 0xd3 }, 5, { 0x66, 0x49, 0x0f, 0x7e, 0xd1 }, 5 },
		/* pinsrw xmm1, [edi], 3 with a segment override */
		{ M32, { 0x26, 0x66, 0x0f, 0xc4, 0x0f, 3 }, 6, { 0x66, 0x0f, 0xc4, 0x0f, 3 }, 5 },
		/* vaddpd ymm12, ymm13, [rip + 5] */
		{ M64,
		  { 0xc5, 0x15, 0x58, 0x25, 5, 0, 0, 0 },
		  8,
		  { 0xc4, 0x61, 0x15, 0x58, 0x27 },
		  5 },
		/* vmovd xmm0, eax with the ignored VEX.W */
		{ M32, { 0xc4, 0xe1, 0xf9, 0x6e, 0xc0 }, 5, { 0xc4, 0xc1, 0x79, 0x6e, 0xc1 }, 5 },
		/* vblendvps: the register in the immediate has three bits */
		{ M32,
		  { 0xc4, 0xe3, 0x71, 0x4a, 0xc2, 0xb0 },
		  6,
		  { 0xc4, 0xe3, 0x71, 0x4a, 0xc2, 0x30 },
		  6 },
		/* andn eax, ebx, ecx */
		{ M64, { 0xc4, 0xe2, 0x60, 0xf2, 0xc1 }, 5, { 0xc4, 0x42, 0x28, 0xf2, 0xc1 }, 5 },
		/* fld tbyte [esp + 8] */
		{ M32, { 0xdb, 0x6c, 0x24, 8 }, 4, { 0xdb, 0x2f }, 2 },
	};

	(void)state;
	for (unsigned k = 0; k < HV_ARRAY_LEN(samples); k++) {
		const struct sample *s = &samples[k];
		struct decoded d;
		struct stub_insn n;

		decode_in(s->mode, s->in, s->n_in, &d);
		assert_true(simd_encode(&d, &n));
		assert_int_equal(n.len, s->n_out);
		assert_memory_equal(n.bytes, s->out, s->n_out);
	}
}

static bool is_vector_ext(ZydisISAExt x)
{
	return x == ZYDIS_ISA_EXT_AVX || x == ZYDIS_ISA_EXT_AVX2 || x == ZYDIS_ISA_EXT_FMA ||
	       x == ZYDIS_ISA_EXT_F16C || x == ZYDIS_ISA_EXT_BMI1 || x == ZYDIS_ISA_EXT_BMI2 ||
	       x == ZYDIS_ISA_EXT_SSE2 || x == ZYDIS_ISA_EXT_SSE4;
}

/* Whatever VEX.128/256 or SSE instruction there is: the same one comes out. */
static void keeps_the_instruction(void **state)
{
	uint64_t seed = 42;
	unsigned n_checked = 0;

	(void)state;
	for (unsigned k = 0; k < 400000; k++) {
		uint64_t x = test_rnd(&seed), y = test_rnd(&seed);
		uint8_t b[15] = { 0xc4 };
		struct decoded d = { .v = v }, back;
		struct stub_insn n;
		ZydisDecoder dec;

		memcpy(b + 1, &x, 8);
		memcpy(b + 9, &y, 6);
		b[1] = (uint8_t)((b[1] & 0xe0) | (1 + b[1] % 3));
		if (k & 1)
			memcpy(b, (uint8_t[]){ 0x66, 0x40 | (b[0] & 0xf), 0x0f }, 3);
		memcpy(d.bytes, b, 15);
		ZydisDecoderInit(&dec, M64, ZYDIS_STACK_WIDTH_64);
		if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&dec, b, 15, &d.z, d.op)) ||
		    !is_vector_ext(d.z.meta.isa_ext) || !simd_encode(&d, &n))
			continue;
		decode_in(M64, n.bytes, n.len, &back);
		assert_int_equal(back.z.mnemonic, d.z.mnemonic);
		assert_int_equal(back.z.length, n.len);
		assert_int_equal(back.z.operand_count, d.z.operand_count);
		n_checked++;
	}
	assert_true(n_checked > 20000);
}

static stub_fn stub_of(const uint8_t *b, unsigned n)
{
	struct decoded d;
	struct stub_insn s;

	decode_in(M64, b, n, &d);
	assert_true(simd_encode(&d, &s));
	return (stub_fn)(uintptr_t)soft_stub_get(&vm, &s);
}

static void runs_and_keeps_state(void **state)
{
	/* movdqa xmm3, [rax]; paddd xmm3, xmm3; movdqa [rax], xmm3 */
	stub_fn load = stub_of((uint8_t[]){ 0x66, 0x0f, 0x6f, 0x18 }, 4);
	stub_fn add = stub_of((uint8_t[]){ 0x66, 0x0f, 0xfe, 0xdb }, 4);
	stub_fn store = stub_of((uint8_t[]){ 0x66, 0x0f, 0x7f, 0x18 }, 4);
	uint32_t data[4] __attribute__((aligned(16))) = { 1, 2, 3, 0x80000000 };

	(void)state;
	simd_run_stub(v, load, data, NULL);
	simd_run_stub(v, add, NULL, NULL);
	soft_fpu_park(v);
	assert_false(v->fpu_live);
	memset(data, 0, sizeof(data)); /* the host's registers are anyone's here */
	simd_run_stub(v, store, data, NULL);
	soft_fpu_park(v);
	assert_int_equal(data[0], 2);
	assert_int_equal(data[2], 6);
	assert_int_equal(data[3], 0);
	assert_memory_equal(((struct fpu_image *)(void *)v->s.xsave)->xmm[3], data, 16);
}

static void general_registers_and_flags(void **state)
{
	stub_fn movd = stub_of((uint8_t[]){ 0x66, 0x0f, 0x6e, 0xc3 }, 4); /* movd xmm0, ebx */
	stub_fn back = stub_of((uint8_t[]){ 0x66, 0x0f, 0x7e, 0xc1 }, 4); /* movd ecx, xmm0 */
	stub_fn ptest = stub_of((uint8_t[]){ 0x66, 0x0f, 0x38, 0x17, 0xc0 }, 5);
	struct stub_io io = { .rm = 0xffffffff12345678, .fl = 0xd501 };

	(void)state;
	simd_run_stub(v, movd, NULL, &io);
	io.rm = UINT64_MAX;
	simd_run_stub(v, back, NULL, &io);
	simd_run_stub(v, ptest, NULL, &io);
	soft_fpu_park(v);
	assert_int_equal(io.rm, 0x12345678);
	assert_int_equal(io.fl & 0xd501, 0x0100); /* CF: xmm0 and not xmm0 is 0; ZF is not set */
}

static void exceptions_come_back(void **state)
{
	stub_fn div = stub_of((uint8_t[]){ 0x0f, 0x5e, 0xc0 }, 3); /* divps xmm0, xmm0 */
	stub_fn fadd = stub_of((uint8_t[]){ 0xd8, 0xc0 }, 2);
	struct fpu_image *m = (struct fpu_image *)(void *)v->s.xsave;

	(void)state;
	assert_ok(soft_fpu_thread_start(v, NULL), &(struct err){ 0 }); /* cmocka has its own */
	soft_fpu_park(v);
	m->xstate_bv |= FPU_X87 | FPU_SSE;
	memset(m->xmm[0], 0, 16);
	m->mxcsr = 0x1f00; /* invalid operation unmasked */
	m->fcw = 0x37e;
	m->fsw = 0x8081; /* and pending */
	soft_fpu_load(v);
	uint64_t xm = div(NULL, NULL), mf = fadd(NULL, NULL);
	uint64_t again = div(NULL, NULL);

	soft_fpu_park(v);
	assert_int_equal(xm, X86_EXC_XM);
	assert_int_equal(mf, X86_EXC_MF);
	assert_int_equal(again, X86_EXC_XM);
	assert_int_equal(m->mxcsr, 0x1f01);
	assert_int_equal(m->fsw, 0x8081);
	m->fsw = 0;
}

static void full_table_is_survived(void **state)
{
	struct stub_insn n = { .bytes = { 0x66, 0x0f, 0x70, 0xc0, 0 }, .len = 5 };
	struct stub_insn clear = { .bytes = { 0x66, 0x0f, 0xef, 0xc0 }, .len = 4 };
	unsigned made = 0;
	struct fpu_image *m = (struct fpu_image *)(void *)v->s.xsave;

	(void)state;
	while (soft_stub_get(&vm, &n) != NULL && made < 1000000) {
		made++;
		/* Distinct names are enough: these are never run. */
		n.name = 0x1122330000000000 + made;
	}
	assert_true(made > 30000 && made < 1000000);
	assert_null(soft_stub_get(&vm, &clear));
	/* The scratch slot takes turns. */
	for (unsigned k = 0; k < 100; k++) {
		struct stub_insn ones = { .bytes = { 0x66, 0x0f, 0x76, 0xc0 }, .len = 4 };
		bool one = k & 1;
		const void *code = soft_stub_scratch(v, one ? &ones : &clear);

		simd_run_stub(v, (stub_fn)(uintptr_t)code, NULL, NULL);
		soft_fpu_park(v);
		assert_int_equal(m->xmm[0][5], one ? 0xff : 0);
	}
}

static void hostile_state_is_loaded(void **state)
{
	struct fpu_image *m = (struct fpu_image *)(void *)v->s.xsave;

	(void)state;
	soft_fpu_park(v);
	memset(m, 0xff, sizeof(*m));
	soft_fpu_load(v);
	soft_fpu_park(v);
	assert_int_equal(m->mxcsr, 0xffff);
	assert_int_equal(m->xcomp_bv, 0);
	assert_int_equal(m->fip | m->fdp | m->fop, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(encodes_for_the_host),
		cmocka_unit_test(keeps_the_instruction),
		cmocka_unit_test(runs_and_keeps_state),
		cmocka_unit_test(general_registers_and_flags),
		cmocka_unit_test(exceptions_come_back),
		cmocka_unit_test(hostile_state_is_loaded),
		cmocka_unit_test(full_table_is_survived),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
