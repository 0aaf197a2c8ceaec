; A multiboot program that looks at the VM generation ID, for ever: prints its 16 bytes as four numbers and
; whether the event waits that tells of another one (bit 16 of the GPE status), a line each time one of them
; has changed, on the first serial port.
%define GENERATION 0xaffff000
%define GPE_STATUS 0x622
bits 32
section .text
align 4
	dd 0x1badb002, 0, -0x1badb002	; multiboot header

global _start
_start:
	mov	esp, stack
again:
	mov	esi, GENERATION
	mov	edi, now
	mov	ecx, 4
	rep movsd
	mov	dx, GPE_STATUS
	in	al, dx
	and	eax, 1
	stosd
	mov	esi, now
	mov	edi, shown
	mov	ecx, 5
	repe cmpsd
	je	again
	mov	esi, now
	mov	edi, shown
	mov	ecx, 5
	rep movsd
	mov	dword [GENERATION], 0	; in vain
	mov	esi, shown
	mov	ebp, 5
number:
	lodsd
	mov	ebx, eax
	mov	ecx, 8
digit:
	rol	ebx, 4
	mov	eax, ebx
	and	eax, 15
	mov	al, [digits + eax]
	call	put
	loop	digit
	mov	al, ' '
	call	put
	dec	ebp
	jnz	number
	mov	al, 10
	call	put
	jmp	again

%include "serial32.inc"

section .data
digits	db	"0123456789abcdef"
shown	times 5 dd 0xffffffff

section .bss
now	resd	5
	resb	4096
stack:
