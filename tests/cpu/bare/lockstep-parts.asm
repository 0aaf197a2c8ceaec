; lockstep-parts: a loop, and CPUID, by which two models of CPU differ; CPUID in SDM volume 2
; tests/lockstep/run finds where runs with two models part: at the CPUID behind the loop.
%include "rt.inc"

section .text
bits 32
main:
	mov ecx, 1000000
	xor esi, esi
.loop:	add esi, ecx
	dec ecx
	jnz .loop
	mov eax, 0x80000002	; the beginning of the brand string: it names the model
	cpuid
	mov edi, edx
.more:	lea edi, [edi + esi]
	dec esi
	test esi, 0xfffff
	jnz .more
	EQ ecx, ecx, "the end"
	FINISH
