; code-beside-data: loops that store into the page that they run in; how long that takes is for
; tests/bench/code-beside-data
%include "rt.inc"

STORES	equ 400000
CLOSE	equ 20000

section .bss
	alignb 4096
page:	resb 8192

section .text
bits 32
%macro COPY 2			; what, where
	mov esi, %1
	mov edi, %2
	mov ecx, 64
	rep movsb
%endmacro
main:
	; on another line of the page
	COPY loop_, page + 0x100
	mov ebx, page + 0x800
	mov ecx, STORES
	call page + 0x100
	EQ [page + 0x800], STORES, "stores to a line of the page"
	EQ eax, STORES, "and what was loaded"
	; lines all over the page but its own
	COPY sweep, page + 0x100
	mov dword [page + 0x800], 0
	mov ecx, STORES / 1000
	call page + 0x100
	xor eax, eax
	mov ebx, page + 0x200
.sum:	add eax, [ebx]
	add ebx, 4
	cmp ebx, page + 0x200 + 4000 - 0x200
	jb .sum
	EQ eax, (4000 - 0x200) / 4 * (STORES / 1000), "stores all over the page"
	; on its own line: each store may cost what it likes
	COPY loop_, page + 0x100
	mov dword [page + 0x13c], 0
	mov ebx, page + 0x13c
	mov ecx, CLOSE
	call page + 0x100
	EQ [page + 0x13c], CLOSE, "stores to its own line"
	; with calls into the page, whose frames lie there, too
	COPY frames, page + 0x100
	mov ecx, STORES / 4
	mov ebp, esp
	mov eax, page + 0x1000
	xor ebx, ebx
	call page + 0x100
	EQ ebx, STORES / 4, "a stack on the page of the code"
	; and the code is still seen to change
	COPY loop_, page + 0x100
	mov ebx, page + 0x800
	mov dword [ebx], 0
	mov ecx, STORES / 4
	call page + 0x100
	mov byte [page + 0x102], 2	; add dword [ebx], 2
	mov ecx, STORES / 4
	call page + 0x100
	EQ [page + 0x800], STORES / 4 * 3, "code that changes among the stores"
	FINISH

loop_:	add dword [ebx], 1
	mov eax, [ebx]
	dec ecx
	jnz loop_
	ret
	align 64
sweep:	mov ebx, page + 0x200
.s:	inc dword [ebx]
	add ebx, 4
	cmp ebx, page + 0x200 + 4000 - 0x200
	jb .s
	dec ecx
	jnz sweep
	ret
	align 64
frames:	pop edx
	mov esp, eax
.f:	push ebx
	call .g
	pop ebx
	inc ebx
	dec ecx
	jnz .f
	mov esp, ebp
	jmp edx
.g:	ret
	align 64
