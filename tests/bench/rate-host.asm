; rate-host: the same loop as a program of the host. It prints INSNS of an iteration and the result.
global _start
section .bss
	alignb 4096
one:	resb 65536 + 64
two:	resb 65536 + 64
text:	resb 32
section .text
bits 64
default rel
_start:
	lea rsi, [one]
	lea rdi, [two]
	mov rcx, ITERATIONS
	call rate_loop
	lea rdi, [text]
	mov ecx, 16
.digit:
	rol rax, 4
	mov dl, al
	and dl, 15
	add dl, '0'
	cmp dl, '9'
	jbe .put
	add dl, 'a' - '0' - 10
.put:	mov [rdi], dl
	inc rdi
	dec ecx
	jnz .digit
	mov byte [rdi], 10
	mov eax, 1
	mov edi, 1
	lea rsi, [text]
	mov edx, 17
	syscall
	mov eax, 60
	xor edi, edi
	syscall
%include "rate-loop.inc"
