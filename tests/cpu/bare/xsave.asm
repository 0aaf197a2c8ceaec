; xsave: XSAVE, XRSTOR, XCR0 and what they enable; FXSAVE; SDM volume 1, chapter 13
%include "rt.inc"

section .bss
	alignb 64
area:	resb 4096
area2:	resb 4096
fx:	resb 512
xcr0:	resq 1

section .data
	align 32
pattern: dq 0x1111111111111111, 0x2222222222222222, 0x3333333333333333, 0x4444444444444444
other:	dq 5, 6, 7, 8

section .text
bits 32
main:
	mov eax, go
	call rt_enter64
bits 64
%macro CLEAR 1
	mov edi, %1
	mov ecx, 512
	xor eax, eax
	cld
	rep stosq
%endmacro
go:
	; FXSAVE and FXRSTOR
	fninit
	fld1
	movups xmm3, [pattern]
	fxsave [fx]
	fninit
	xorps xmm3, xmm3
	fxrstor [fx]
	movq rax, xmm3
	mov rbx, 0x1111111111111111
	EQ rax, rbx, "fxrstor: XMM3"
	fstp qword [area]
	mov rax, [area]
	mov rbx, 0x3ff0000000000000
	EQ rax, rbx, "fxrstor: ST0"
	FAULTS "fxsave to a crooked address", VEC_GP, 0, fxsave [fx + 8]
	or dword [fx + 24], 0x80000000
	FAULTS "fxrstor with reserved bits of MXCSR", VEC_GP, 0, fxrstor [fx]
	and dword [fx + 24], 0xffff
	mov eax, 1
	cpuid
	bt ecx, 26
	jc .has
	FAULTS "xsave where there is none", VEC_UD, 0, xsave [area]
	FINISH
.has:
	mov rax, cr4
	btr rax, 18
	mov cr4, rax
	mov eax, 1
	cpuid
	shr ecx, 27
	and ecx, 1
	EQ rcx, 0, "CPUID.OSXSAVE follows CR4: clear"
	xor ecx, ecx
	FAULTS "xgetbv without OSXSAVE", VEC_UD, 0, xgetbv
	FAULTS "xsave without OSXSAVE", VEC_UD, 0, xsave [area]
	mov rax, cr4
	bts rax, 18
	mov cr4, rax
	mov eax, 1
	cpuid
	shr ecx, 27
	and ecx, 1
	EQ rcx, 1, "CPUID.OSXSAVE follows CR4: set"
	xor ecx, ecx
	xgetbv
	EQ rax, 1, "XCR0 at reset"
	mov eax, 0xd
	xor ecx, ecx
	cpuid
	mov [xcr0], eax
	; xsetbv: what is refused
	xor ecx, ecx
	xor edx, edx
	mov eax, 2
	FAULTS "XCR0 without x87", VEC_GP, 0, xsetbv
	mov eax, 5
	FAULTS "XCR0: AVX without SSE", VEC_GP, 0, xsetbv
	mov eax, 1
	mov edx, 0x40000000
	FAULTS "XCR0: an unknown bit", VEC_GP, 0, xsetbv
	xor edx, edx
	mov ecx, 1
	FAULTS "xsetbv of XCR1", VEC_GP, 0, xsetbv
	mov ecx, 7
	FAULTS "xgetbv of XCR7", VEC_GP, 0, xgetbv
	USER .u_xsetbv
	WAS "xsetbv at CPL 3", VEC_GP, 0, .u_xsetbv_at
	test dword [xcr0], 4
	jz .no_avx
	xor ecx, ecx
	xor edx, edx
	mov eax, 3
	xsetbv
	FAULTS "AVX without XCR0.AVX", VEC_UD, 0, vaddps ymm0, ymm1, ymm2
	mov eax, 7
	xsetbv
	RUNS "AVX with XCR0.AVX", vaddps ymm0, ymm1, ymm2
	mov eax, 0xd
	xor ecx, ecx
	cpuid
	EQ rbx, 576 + 256, "CPUID 0xd: size of what is enabled"
	mov eax, 0xd
	mov ecx, 2
	cpuid
	EQ rax, 256, "CPUID 0xd.2: size of AVX state"
	EQ rbx, 576, "CPUID 0xd.2: its offset"
	; save and restore
	CLEAR area
	fninit
	vmovups ymm5, [pattern]
	mov eax, 7
	xor edx, edx
	xsave [area]
	mov rax, [area + 512]
	and eax, 6
	EQ rax, 6, "XSTATE_BV"
	mov rax, [area + 160 + 5 * 16]
	EQ rax, [pattern], "XMM5 in the area"
	mov rax, [area + 576 + 5 * 16]
	EQ rax, [pattern + 16], "the upper half of YMM5 in the area"
	vmovups ymm5, [other]
	mov eax, 7
	xrstor [area]
	vmovups [area2], ymm5
	EQ [area2], [pattern], "YMM5 low after xrstor"
	EQ [area2 + 24], [pattern + 24], "YMM5 high after xrstor"
	; only what is asked for
	vmovups ymm5, [other]
	mov eax, 2
	xrstor [area]
	vmovups [area2], ymm5
	EQ [area2], [pattern], "xrstor of SSE: low"
	EQ [area2 + 24], [other + 24], "xrstor of SSE: high stays"
	; a component that XSTATE_BV lacks is set to its initial state
	and qword [area + 512], ~4
	mov eax, 4
	xrstor [area]
	vmovups [area2], ymm5
	EQ [area2 + 24], 0, "AVX set to its initial state"
	EQ [area2], [pattern], "SSE stays"
	; xsave of a part leaves the rest of the area
	CLEAR area
	mov qword [area + 576 + 5 * 16], 0x77
	mov qword [area + 512], 4
	vmovups ymm5, [pattern]
	mov eax, 3
	xsave [area]
	EQ [area + 576 + 5 * 16], 0x77, "xsave of x87 and SSE leaves AVX's place"
	mov rax, [area + 512]
	and eax, 4
	EQ rax, 4, "and its bit"
	; the SSE registers' upper halves: a legacy instruction leaves them, a VEX one clears them
	vmovups ymm6, [pattern]
	movups xmm6, [other]
	vmovups [area2], ymm6
	EQ [area2 + 16], [pattern + 16], "movups leaves the upper half"
	vmovups xmm6, [other]
	vmovups [area2], ymm6
	EQ [area2 + 16], 0, "vmovups xmm clears it"
	mov rax, cr0
	bts rax, 3
	mov cr0, rax
	FAULTS "AVX with TS", VEC_NM, 0, vaddps ymm0, ymm1, ymm2
	FAULTS "xsave with TS", VEC_NM, 0, xsave [area]
	mov rax, cr0
	btr rax, 3
	mov cr0, rax
.no_avx:
	; a bad header
	CLEAR area
	mov eax, 3
	xor edx, edx
	xsave [area]
	mov qword [area + 520], 1
	FAULTS "xrstor: reserved bytes of the header", VEC_GP, 0, xrstor [area]
	mov qword [area + 520], 0
	mov qword [area + 512], 0x4000
	FAULTS "xrstor: XSTATE_BV beyond XCR0", VEC_GP, 0, xrstor [area]
	mov qword [area + 512], 3
	or dword [area + 24], 0x80000000
	mov eax, 3
	FAULTS "xrstor: reserved bits of MXCSR", VEC_GP, 0, xrstor [area]
	FAULTS "xsave to a crooked address", VEC_GP, 0, xsave [area + 16]
	mov rsi, 0x0000800000000000
	FAULTS "xsave to a non-canonical address", VEC_GP, 0, xsave [rsi]
	; x87 and SSE state set to their initial values
	fld1
	and dword [area + 24], 0xffff
	mov qword [area + 512], 0
	mov eax, 3
	xrstor [area]
	fnstsw ax
	movzx eax, ax
	EQ rax, 0, "x87 set to its initial state"
	FINISH
.u_xsetbv:
	xor ecx, ecx
	xor edx, edx
	mov eax, 1
.u_xsetbv_at: xsetbv
