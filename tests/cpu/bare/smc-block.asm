; smc-block: code that changes its own block, ahead of and behind the instruction that does it, and
; blocks that are linked to it; SDM volume 3, 8.1.3
%include "rt.inc"

ROUNDS equ 300

section .text
bits 32
main:
	; ahead, in the same block: each round another value
	xor ecx, ecx
	xor ebx, ebx
.ahead:	mov [.a_imm + 1], ecx
	nop
	add ebx, 1
.a_imm:	mov eax, -1
	add ebx, eax
	inc ecx
	cmp ecx, ROUNDS
	jb .ahead
	EQ ebx, ROUNDS * (ROUNDS - 1) / 2 + ROUNDS, "ahead in a loop"
	; behind: seen when the loop comes round again
	xor ecx, ecx
	xor ebx, ebx
.behind:
.b_imm:	mov eax, 0
	add ebx, eax
	inc ecx
	mov [.b_imm + 1], ecx
	cmp ecx, ROUNDS
	jb .behind
	EQ ebx, ROUNDS * (ROUNDS - 1) / 2, "behind in a loop"
	; only now and then: the loop is hot by then
	xor ecx, ecx
	xor ebx, ebx
.hot:	test ecx, 63
	jnz .h_imm
	add dword [.h_imm + 2], 1
.h_imm:	add ebx, 0x10000000
	inc ecx
	cmp ecx, 640
	jb .hot
	EQ ebx, (0x10000000 * 640 + 64 * (10 * 11 / 2)) & 0xffffffff, "a hot loop, now and then"
	; what two blocks that are linked lead to
	xor ebp, ebp
	mov edx, 5
.link:	mov ecx, 200
.l1:	jmp .l2
	align 64
.l2:	add ebp, 1
	jmp .l3
	align 64
.l3:	dec ecx
	jnz .l1
	jmp .l4
	align 64
.l4:
	xor byte [.l2 + 2], 3			; 1 <-> 2
	dec edx
	jnz .link
	EQ ebp, 200 * (1 + 2 + 1 + 2 + 1), "linked blocks"
	; the branch itself: another way out of a hot block
	xor ebp, ebp
	mov edx, 4
.way:	mov ecx, 100
.w1:	test ecx, ecx
.w_jcc:	jz .w_one				; never taken; then jnz, always
	add ebp, 1
	jmp .w2
.w_one:	add ebp, 1000
.w2:	dec ecx
	jnz .w1
	xor byte [.w_jcc], 1
	dec edx
	jnz .way
	EQ ebp, 2 * 100 + 2 * 100000, "the condition of a branch"
	; a function, changed between its calls and during one
	xor ebp, ebp
	mov ecx, ROUNDS
.call:	call .fn
	add ebp, eax
	mov [.fn + 1], ecx
	dec ecx
	jnz .call
	EQ ebp, 7 + ROUNDS * (ROUNDS + 1) / 2 - 1, "a function between its calls"
	; what comes behind the call, by the function
	xor ebp, ebp
	mov ecx, ROUNDS
.ret:	call .fn2
.r_imm:	mov eax, 0
	add ebp, eax
	dec ecx
	jnz .ret
	EQ ebp, ROUNDS * (ROUNDS + 1) / 2, "what a function returns to"
	; the return itself: ret becomes ret 4
	mov ecx, 50
	xor ebp, ebp
.r4:	push dword 0
	call .fn3
	pop eax
	dec ecx
	jnz .r4
	mov byte [.f3_op], 0xc2
	mov ebx, esp
	push dword 0
	call .fn3
	sub ebx, esp
	EQ ebx, 0, "ret that becomes ret 4"
	; jumps by a table and by a register to code that changes
	xor ebp, ebp
	xor ecx, ecx
.table:	mov eax, ecx
	and eax, 3
	jmp [.ways + eax * 4]
.t0:	add ebp, 1
	jmp .t_end
.t1:	add ebp, 2
	jmp .t_end
.t2:	mov edx, .t0
	jmp edx
.t3:	inc byte [.t0 + 2]
.t_end:	inc ecx
	cmp ecx, 40
	jb .table
	; t0's value is 1 + rounds so far, added twice a round
	EQ ebp, 2 * (10 * 11 / 2) + 10 * 2, "a jump table"
	; a function that is called by a register, hot by then, on a line of its own
	xor ebp, ebp
	mov edx, 4
	mov edi, .fn4
.reg:	mov ecx, 50
.reg_1:	call edi
	add ebp, eax
	dec ecx
	jnz .reg_1
	jmp .reg_2
	align 64
.reg_2:	xor byte [.fn4 + 1], 3			; 1 <-> 2
	dec edx
	jnz .reg
	EQ ebp, 50 * (1 + 2 + 1 + 2), "a function called by a register"
	; a string instruction over what comes next, and over itself with what it is already
	mov edx, 50
	xor ebp, ebp
.str:	mov esi, .blob_a
	test edx, 1
	jz .s_go
	mov esi, .blob_b
.s_go:	mov edi, .s_to
	mov ecx, 5
	rep movsb
.s_to:	mov eax, 0
	add ebp, eax
	dec edx
	jnz .str
	EQ ebp, 25 * 3 + 25 * 500, "rep movsb over the next instruction"
	mov edx, 20
.self:	mov esi, .s_same
	mov edi, .s_same
	mov ecx, .s_same_end - .s_same
.s_same:
	rep movsb
	dec edx
	jnz .self
.s_same_end:
	EQ ecx, 0, "rep movsb over itself"
	mov edi, .f_to
	mov eax, 0x40404040			; inc eax
	mov ecx, 8
	cld
	rep stosd
	xor eax, eax
	call .f_to
	EQ eax, 32, "rep stosd over a function"
	FINISH

.fn:	mov eax, 7
	ret
	align 64
.fn4:	mov eax, 1
	ret
	align 64
.fn2:	mov [.r_imm + 1], ecx
	ret
.fn3:	add ebp, 1
.f3_op:	ret
	db 4, 0
	nop
.f_to:	times 32 nop
	ret
.blob_a: mov eax, 3
.blob_b: mov eax, 500
	align 4
.ways:	dd .t0, .t1, .t2, .t3
