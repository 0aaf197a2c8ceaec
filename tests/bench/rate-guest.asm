; rate-guest: the loop of rate-loop.inc between the markers S and E on the debug console
%define NAME "rate"
%include "rt.inc"

section .bss
	alignb 4096
one:	resb 65536 + 64
two:	resb 65536 + 64

section .text
bits 32
main:
	mov eax, go
	call rt_enter64
bits 64
go:
	mov al, 'S'
	out DEBUG_CON, al
	mov esi, one
	mov edi, two
	mov rcx, ITERATIONS
	call rate_loop
	mov rbx, rax
	mov al, 'E'
	out DEBUG_CON, al
	mov ecx, 16		; the result: the same number of instructions whatever it is
.digit:
	rol rbx, 4
	mov edx, ebx
	and edx, 15
	mov al, [digits + rdx]
	out DEBUG_CON, al
	dec ecx
	jnz .digit
	mov al, 10
	out DEBUG_CON, al
	cli			; here the host reads the count: nothing runs any more
	hlt
%include "rate-loop.inc"
section .rodata
digits:	db "0123456789abcdef"
