; A multiboot program for the tests of saved states: prints hexadecimal numbers in order, for ever, on
; the first serial port.
bits 32
section .text
align 4
	dd 0x1badb002, 0, -0x1badb002	; multiboot header

global _start
_start:
	mov	esp, stack
next:
	inc	dword [number]
	mov	ecx, 1000000		; some milliseconds
	loop	$
	mov	ebx, [number]
	mov	ecx, 8
digit:
	rol	ebx, 4
	mov	eax, ebx
	and	eax, 15
	mov	al, [digits + eax]
	call	put
	loop	digit
	mov	al, 10
	call	put
	jmp	next

%include "serial32.inc"

section .data
digits	db	"0123456789abcdef"
number	dd	0

section .bss
	resb	4096
stack:
