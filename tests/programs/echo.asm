; A multiboot program for the tests of serial ports: says "ready", then sends back every byte that
; comes in on the first serial port; the byte 0xff ends it with status 7 by the debug-exit port.
bits 32
section .text
align 4
	dd 0x1badb002, 0, -0x1badb002	; multiboot header

global _start
_start:
	mov	esp, stack
	mov	dx, 0x3fa		; FIFOs on
	mov	al, 1
	out	dx, al
	mov	esi, ready
.next:
	lodsb
	test	al, al
	jz	again
	call	put
	jmp	.next
again:
	mov	dx, 0x3fd
	in	al, dx
	test	al, 1
	jz	again
	mov	dx, 0x3f8
	in	al, dx
	cmp	al, 0xff
	je	leave_
	call	put
	jmp	again
leave_:
	mov	al, 7
	out	0xf4, al
	hlt

put:					; al; waits for the transmitter
	mov	ah, al
	mov	dx, 0x3fd
.full:
	in	al, dx
	test	al, 0x20
	jz	.full
	mov	al, ah
	mov	dx, 0x3f8
	out	dx, al
	ret

section .data
ready	db	"ready", 10, 0

section .bss
	resb	4096
stack:
