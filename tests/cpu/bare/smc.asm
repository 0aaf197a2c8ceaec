; smc: code that changes itself; SDM volume 3, 8.1.3, 11.6
%include "rt.inc"

section .bss
	alignb 4096
dir:	resb 4096
table:	resb 4096
page:	resb 8192
page2:	resb 4096

section .text
bits 32
main:
	; the next instruction but a jump
	mov dword [.imm + 1], 0x1234
	jmp .imm
.imm:	mov eax, 0
	EQ eax, 0x1234, "an instruction behind a jump"
	; without a jump: the processor notices by itself
	mov dword [.imm2 + 1], 0x5678
.imm2:	mov eax, 0
	EQ eax, 0x5678, "the very next instruction"
	; in a loop, each time another value
	xor ecx, ecx
	xor ebx, ebx
.loop:	mov [.imm3 + 1], ecx
.imm3:	mov eax, -1
	add ebx, eax
	inc ecx
	cmp ecx, 1000
	jb .loop
	EQ ebx, 499500, "a loop that changes itself"
	; the opcode, so that length and boundaries change: inc eax x 5 against mov eax, imm
	mov edi, page
	mov dword [edi], 0x40404040
	mov word [edi + 4], 0xc340
	xor eax, eax
	call edi
	EQ eax, 5, "five incs"
	mov byte [edi], 0xb8
	call edi
	EQ eax, 0x40404040, "one mov in their place"
	; over a page border
	mov edi, page + 4096 - 2
	mov byte [edi], 0xb8
	mov dword [edi + 1], 1
	mov byte [edi + 5], 0xc3
	call edi
	EQ eax, 1, "over a page border"
	mov byte [edi + 3], 2
	call edi
	EQ eax, 0x20001, "changed on the second page"
	mov byte [edi + 1], 3
	call edi
	EQ eax, 0x20003, "changed on the first page"
	; called, changed by a string instruction, called
	mov edi, page
	mov esi, .blob
	mov ecx, .blob_end - .blob
	cld
	rep movsb
	call page
	EQ eax, 0x77, "copied by rep movsb"
	mov edi, page + 1
	mov al, 0x11
	mov ecx, 4
	rep stosb
	call page
	EQ eax, 0x11111111, "changed by rep stosb"
	; by a locked instruction, by push, by a far call's frame, by fst
	mov edi, page
	mov byte [edi], 0xb8
	mov dword [edi + 1], 5
	mov byte [edi + 5], 0xc3
	call edi
	lock add dword [edi + 1], 10
	call edi
	EQ eax, 15, "changed by lock add"
	mov edx, esp
	lea esp, [edi + 5]
	push dword 0x99
	mov esp, edx
	call edi
	EQ eax, 0x99, "changed by push"
	fninit
	fild dword [.forty]
	fistp dword [edi + 1]
	call edi
	EQ eax, 40, "changed by fistp"
	mov eax, 40
	mov ebx, 41
	cmpxchg [edi + 1], ebx
	call edi
	EQ eax, 41, "changed by cmpxchg"
	; by another address of the same page
	mov eax, cr4
	or eax, 0x10
	mov cr4, eax
	xor ecx, ecx
.id:	mov eax, ecx
	shl eax, 22
	or eax, 0x87
	mov [dir + ecx * 4], eax
	inc ecx
	cmp ecx, 1024
	jb .id
	mov dword [dir + 0x100 * 4], table + 7
	mov dword [table], page + 7
	mov dword [table + 4], page + 7
	mov eax, dir
	mov cr3, eax
	mov eax, cr0
	or eax, 0x80000000
	mov cr0, eax
	mov ebx, 0x40000000
	call ebx
	EQ eax, 41, "by a second address"
	mov dword [ebx + 0x1001], 51
	call ebx
	EQ eax, 51, "changed by a third address"
	mov dword [page + 1], 52
	call ebx
	EQ eax, 52, "changed by the first address"
	call page
	EQ eax, 52, "and seen there"
	; the mapping changes, not the bytes
	mov byte [page2], 0xb8
	mov dword [page2 + 1], 61
	mov byte [page2 + 5], 0xc3
	mov dword [table], page2 + 7
	invlpg [ebx]
	call ebx
	EQ eax, 61, "another page at the same address"
	mov dword [table], page + 7
	mov eax, cr3
	mov cr3, eax
	call ebx
	EQ eax, 52, "and back"
	; code on the stack
	sub esp, 16
	mov dword [esp], 0x0055b8
	mov word [esp + 4], 0xc300
	mov eax, esp
	call eax
	add esp, 16
	EQ eax, 0x55, "code on the stack"
	; data beside code: many stores on the page that runs
	mov edi, page + 64
	mov esi, .counter
	mov ecx, .counter_end - .counter
	rep movsb
	mov ecx, 5000
	xor ebx, ebx
	call page + 64
	EQ [page + 32], 5000, "data beside code"
	FINISH
.blob:	mov eax, 0x77
	ret
.blob_end:
.counter:
	mov dword [page + 32], 0
.cn:	inc dword [page + 32]
	loop .cn
	ret
.counter_end:
.forty:	dd 40
