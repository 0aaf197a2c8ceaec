; tls: FS and GS of 32-bit code with bases, where threads have their own data: offsets that are
; constants and that are not, negative ones, the end at 4 GiB, other bases, limits and types under
; the same code; SDM volume 3, 5.3 and 5.5
%include "rt.inc"

S_A	equ SEL_FREE		; base a, no limit
S_B	equ SEL_FREE + 0x08	; base b, no limit
S_SMALL	equ SEL_FREE + 0x10	; base a, limit 0x0f
S_RO	equ SEL_FREE + 0x18	; base a, no limit, read only

section .data
	align 64
	dd 0x11111111
a:	dd 0x22222222, 0x33333333, 0, 0, 0
	dd 0x44444444
b:	dd 0x55555555, 0x66666666, 0, 0, 0

section .text
bits 32
get:	mov eax, [gs:ecx]
	ret
set:	mov [gs:ecx], eax
	ret
main:
	SETDESC_AT S_A, a, 0xfffff, 0x92, 12
	SETDESC_AT S_B, b, 0xfffff, 0x92, 12
	SETDESC_AT S_SMALL, a, 0x0f, 0x92, 4
	SETDESC_AT S_RO, a, 0xfffff, 0x90, 12
	mov edi, 6
.again:	mov eax, S_A
	mov esi, a
	test edi, 1
	jz .load
	mov eax, S_B
	mov esi, b
.load:	mov gs, ax
	mov fs, ax
	mov eax, [4]			; where a base that is forgotten would lead
	mov eax, [gs:4]
	EQ eax, [esi + 4], "a constant"
	mov eax, [fs:-4]
	EQ eax, [esi - 4], "a negative constant"
	mov ecx, 4
	call get
	EQ eax, [esi + 4], "a register"
	mov ecx, -4
	call get
	EQ eax, [esi - 4], "a negative register"
	movzx eax, byte [gs:ecx + 3]
	movzx edx, byte [esi - 1]
	EQ eax, edx, "a byte at the end"
	mov [gs:8], edi
	EQ [esi + 8], edi, "a store"
	mov edx, 3
	lea eax, [edi + 1]
	mov [fs:edx * 4], eax
	EQ [esi + 12], eax, "a store by a register"
	add dword [gs:edx * 4], 5
	add eax, 5
	EQ [esi + 12], eax, "read and written"
	mov ecx, -2
	RT_ARM .over
	call get
.over:	WAS "over 4 GiB", VEC_GP, 0, get
	FAULTS "a constant over 4 GiB", VEC_GP, 0, mov eax, [gs:-2]
	dec edi
	jnz .again
	; the same code, other segments
	mov eax, S_SMALL
	mov gs, ax
	mov ecx, 12
	call get
	EQ eax, [a + 12], "within a limit"
	inc ecx
	RT_ARM .limit
	call get
.limit:	WAS "over a limit", VEC_GP, 0, get
	mov eax, S_A
	mov gs, ax
	mov ecx, 16
	mov eax, 7
	call set
	call set
	mov eax, S_RO
	mov gs, ax
	call get
	EQ eax, 7, "read only: read"
	RT_ARM .ro
	call set
.ro:	WAS "read only: written", VEC_GP, 0, set
	xor eax, eax
	mov gs, ax
	RT_ARM .null
	call get
.null:	WAS "null", VEC_GP, 0, get
	FINISH
