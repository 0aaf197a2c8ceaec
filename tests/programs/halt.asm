; A multiboot program of known length for the tests of the statistics: 600004 instructions and one
; byte to an I/O port, then it sleeps for ever.
bits 32
section .text
align 4
	dd 0x1badb002, 0, -0x1badb002	; multiboot header

global _start
_start:
	cli
	mov	ecx, 200000
again:
	add	ebx, ecx
	dec	ecx
	jnz	again
	out	0x80, al
	hlt
	jmp	$
