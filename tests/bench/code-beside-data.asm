; code-beside-data: a loop that stores a word every few thousand instructions (some 10^5 to 10^6 times
; a second), ten times in turn with the word beside the loop's code and on another page. Prints the
; cycles that each took, hexadecimal, a line each, and ends the machine.
%define NAME "beside"
%include "rt.inc"

STORES	equ 100000
WORK	equ 1000

section .bss
	alignb 4096
page:	resb 4096
apart:	resb 4096
took:	resd 10

section .text
bits 32
loop_:	mov edx, WORK
.w:	add eax, edx
	xor eax, ebx
	dec edx
	jnz .w
	mov [ebx], eax
	dec ecx
	jnz loop_
	ret
loop_end:

main:
	mov esi, loop_
	mov edi, page
	mov ecx, loop_end - loop_
	cld
	rep movsb
	xor edi, edi
.next:	mov ebx, page + 0x800
	test edi, 1
	jz .go
	mov ebx, apart + 0x800
.go:	mov ecx, STORES
	rdtsc
	mov esi, eax
	call page
	rdtsc
	sub eax, esi
	mov [took + edi * 4], eax
	inc edi
	cmp edi, 10
	jb .next
	xor edi, edi
.print:	mov ebx, [took + edi * 4]
	call rt_hex32
	mov esi, rt_text_nl
	call rt_puts32
	inc edi
	cmp edi, 10
	jb .print
	xor eax, eax
	out DEBUG_EXIT, al
	cli
	hlt
