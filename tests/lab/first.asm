; A multiboot program that says a byte on the first serial port, and sleeps.
bits 32
section .text
align 4
	dd 0x1badb002, 0, -0x1badb002	; multiboot header

global _start
_start:
	mov	dx, 0x3f8
	mov	al, '!'
	out	dx, al
stop:
	cli
	hlt
	jmp	stop
