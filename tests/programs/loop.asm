; A multiboot program for the debugger's tests: counts for ever, until somebody sets `leave`; then it
; ends with that value on the debug-exit port 0xf4. It says what it does on the first serial port.
bits 32
section .text
align 4
	dd 0x1badb002, 0, -0x1badb002	; multiboot header

global _start, again, func, counter, copy, leave_, after
_start:
	mov	esp, stack
	mov	esi, hello
.next:
	lodsb
	test	al, al
	jz	again
	mov	dx, 0x3f8
	out	dx, al
	jmp	.next
again:
	inc	dword [counter]
	mov	ebx, [counter]
	call	func
after:
	cmp	dword [leave_], 0
	je	again
	mov	eax, [leave_]
	out	0xf4, al
	hlt
func:
	mov	[copy], ebx
	mov	ecx, 0x1234
	ret

section .data
hello	db	"loop starts", 10, 0
align 4
counter	dd	0
copy	dd	0
leave_	dd	0

section .bss
	resb	4096
stack:
