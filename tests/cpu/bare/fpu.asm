; fpu: x87 exceptions as software sees them, control and status, environment; SDM volume 1,
; chapter 8; volume 3, 2.5 (CR0.NE, MP, EM, TS)
%include "rt.inc"

section .bss
	alignb 16
cw:	resw 1
sw:	resw 1
	alignb 16
env:	resb 512
num:	resq 2

section .data
one:	dq 1.0
two:	dq 2.0
zero:	dq 0.0
big:	dq 1.0e300
snan:	dq 0x7ff4000000000000
tiny:	dq 1

section .text
bits 32
%macro CW 1
	mov word [cw], %1
	fldcw [cw]
%endmacro
%macro SW 2		; bits of the status word among the exceptions, text
	fnstsw ax
	and eax, 0xff
	EQ eax, %1, %2
%endmacro
main:
	fninit
	fnstcw [cw]
	movzx eax, word [cw]
	EQ eax, 0x37f, "control word after fninit"
	fnstsw ax
	movzx eax, ax
	EQ eax, 0, "status word after fninit"
	; masked: the flags stick
	fld qword [one]
	fdiv qword [zero]
	SW 4, "masked division by zero"
	fnclex
	fstp st0
	; unmasked: the fault comes with the next waiting instruction
	fninit
	CW 0x37b
	fld qword [one]
	RUNS "the dividing instruction itself does not fault", fdiv qword [zero]
	SW 0x84, "ZE and ES"
	RUNS "fnstsw does not wait", fnstsw ax
	FAULTS "#MF with the next instruction", VEC_MF, 0, fld1
	FAULTS "#MF with fwait", VEC_MF, 0, fwait
	FAULTS "fstsw waits", VEC_MF, 0, db 0x9b, 0xdf, 0xe0
	RUNS "fnclex ends it", fnclex
	RUNS "fld1 afterwards", fld1
	fninit
	CW 0x37b
	fld qword [two]
	fdiv qword [zero]
	fnclex
	fstp qword [num]
	EQ [num + 4], 0x40000000, "unmasked: the operand stays"
	; invalid: stack underflow and overflow, C1
	fninit
	fadd st0, st1
	fnstsw ax
	and eax, 0x241
	EQ eax, 0x41, "stack underflow"
	fninit
	%rep 8
	fld1
	%endrep
	fld1
	fnstsw ax
	and eax, 0x241
	EQ eax, 0x241, "stack overflow"
	fninit
	fld qword [snan]
	SW 1, "load of a signalling NaN"
	fninit
	fld qword [tiny]
	SW 2, "denormal operand"
	fninit
	fld qword [big]
	fmul qword [big]
	fstp qword [num]
	fnstsw ax
	and eax, 0x28
	EQ eax, 0x28, "overflow and inexact when stored"
	; precision and rounding control
	fninit
	CW 0x07f			; 24 bits
	fld qword [one]
	fdiv qword [.three]
	fstp qword [num]
	EQ [num], 0x60000000, "24 bits of precision"
	fninit
	CW 0xf7f			; towards zero
	fld qword [.m15]
	fistp dword [num]
	EQ [num], -1, "rounded towards zero"
	CW 0x77f			; down
	fld qword [.m15]
	fistp dword [num]
	EQ [num], -2, "rounded down"
	fninit
	fld qword [big]
	fistp dword [num]
	EQ [num], 0x80000000, "integer indefinite"
	; comparisons
	fninit
	fld qword [one]
	fcomp qword [two]
	fnstsw ax
	and eax, 0x4500
	EQ eax, 0x100, "fcom: less"
	fld qword [one]
	fld qword [two]
	fcomip st1
	setnbe al
	movzx eax, al
	EQ eax, 1, "fcomi: above"
	; environment: 28 bytes in 32-bit mode; tag word
	fninit
	fld1
	fldz
	fnstenv [env]
	movzx eax, word [env + 8]
	EQ eax, 0x1fff, "tag word: zero, valid, empty"
	movzx eax, word [env]
	EQ eax, 0x37f, "fnstenv, control word"
	fninit
	fldenv [env]
	fnstsw ax
	and eax, 0x3800
	EQ eax, 6 << 11, "fldenv: top of stack"
	; fnsave initialises
	fninit
	fldpi
	fnsave [env]
	fnstsw ax
	movzx eax, ax
	EQ eax, 0, "fnsave initialises"
	EQ [env + 28 + 4], 0xc90fdaa2, "fnsave: the register, high half"
	movzx eax, word [env + 28 + 8]
	EQ eax, 0x4000, "fnsave: the register, exponent"
	frstor [env]
	fstp qword [num]
	EQ [num + 4], 0x400921fb, "frstor"
	fninit
	fldz
	fxam
	fnstsw ax
	and eax, 0x4500
	EQ eax, 0x4000, "fxam of zero"
	; MMX and x87 share registers
	fninit
	mov dword [num], 0x12345678
	mov dword [num + 4], 0
	movq mm0, [num]
	fxsave [env]
	movzx eax, byte [env + 4]
	EQ eax, 0xff, "an MMX instruction makes all tags valid"
	emms
	fnstenv [env]
	movzx eax, word [env + 8]
	EQ eax, 0xffff, "emms makes them empty"
	; an MMX instruction reports a pending x87 exception
	fninit
	CW 0x37b
	fld1
	fdiv qword [zero]
	FAULTS "#MF with MMX", VEC_MF, 0, paddd mm0, mm1
	fnclex
	fninit
	; SSE: MXCSR flags stick, DAZ and FTZ
	mov eax, cr4
	or eax, 0x600
	mov cr4, eax
	movsd xmm0, [one]
	divsd xmm0, [zero]
	stmxcsr [num]
	mov eax, [num]
	and eax, 0x3f
	EQ eax, 4, "MXCSR: ZE"
	mov dword [num], 0x1f80
	ldmxcsr [num]
	movsd xmm0, [tiny]
	addsd xmm0, [zero]
	stmxcsr [num]
	mov eax, [num]
	and eax, 0x3f
	EQ eax, 2, "MXCSR: DE"
	mov dword [num], 0x1fc0
	ldmxcsr [num]
	movsd xmm0, [tiny]
	addsd xmm0, [zero]
	movd eax, xmm0
	EQ eax, 0, "DAZ"
	stmxcsr [num]
	mov eax, [num]
	and eax, 0x3f
	EQ eax, 0, "DAZ: no flag"
	; rounding by MXCSR
	mov dword [num], 0x1f80 | 0x4000
	ldmxcsr [num]
	cvtsd2si eax, [.p15]
	EQ eax, 2, "rounded up"
	mov dword [num], 0x1f80
	ldmxcsr [num]
	cvttsd2si eax, [big]
	EQ eax, 0x80000000, "integer indefinite by SSE"
	FINISH
.three:	dq 3.0
.m15:	dq -1.5
.p15:	dq 1.5
