; smep-smap: supervisor-mode execution and access prevention; SDM volume 3, 4.6.1
%include "rt.inc"

section .bss
	alignb 4096
table:	resb 4096
frame_a: resb 4096
ldt_page: resb 4096

section .text
bits 32
main:
	mov eax, go
	call rt_enter64
bits 64
VIRT equ 0x40000000		; user pages
KERN equ 0x40100000		; the same frames for the supervisor
go:
	mov eax, 7
	xor ecx, ecx
	cpuid
	mov [rt_scratch], ebx
	mov qword [rt_pd + 4096], table + 7
	mov qword [table], frame_a + 7
	mov qword [table + 8], ldt_page + 7
	mov qword [table + 0x100 * 8], frame_a + 3
	mov byte [frame_a], 0xc3
	; the program itself: pages of the supervisor, but for its user code and stack
	; (2 MiB at 0 holds everything: split it)
	call split
	test dword [rt_scratch], 1 << 7
	jz .no_smep
	mov rax, cr4
	bts rax, 20
	mov cr4, rax
	mov rsi, VIRT
	RT_ARM .smep1
	call rsi
.smep1:	WAS "SMEP: supervisor fetch from a user page", VEC_PF, 0x11, VIRT
	mov rsi, KERN
	RUNS "SMEP: supervisor page", call rsi
	RUNS "SMEP: data of a user page", mov eax, [VIRT]
	USER u_ret
	WAS "SMEP: user fetch from a user page", VEC_DONE, 0, u_ret_end
	mov rax, cr4
	btr rax, 20
	mov cr4, rax
	mov rsi, VIRT
	RUNS "SMEP clear", call rsi
	jmp .smap
.no_smep:
	FAULTS "SMEP cannot be set where it is missing", VEC_GP, 0, mov cr4, rax
.smap:
	test dword [rt_scratch], 1 << 20
	jnz .has_smap
	FINISH
.has_smap:
	mov rax, cr4
	bts rax, 21
	mov cr4, rax
	clac
	FAULTS "SMAP: read", VEC_PF, 1, mov eax, [VIRT]
	FAULTS "SMAP: write", VEC_PF, 3, mov [VIRT + 8], eax
	RUNS "SMAP: supervisor page", mov eax, [KERN]
	stac
	RUNS "SMAP: read with AC", mov eax, [VIRT]
	RUNS "SMAP: write with AC", mov [VIRT + 8], eax
	clac
	FAULTS "SMAP: after clac", VEC_PF, 1, mov eax, [VIRT]
	mov rsi, VIRT
	RUNS "SMAP: fetch is SMEP's business", call rsi
	; AC by popf
	pushf
	or dword [rsp], F_AC
	popf
	RUNS "SMAP: AC by popf", mov eax, [VIRT]
	clac
	; an exception's handler finds AC as the gate left it: unchanged
	stac
	FAULTS "ud2 with AC set", VEC_UD, 0, ud2
	mov rax, [x_flags]
	and eax, F_AC
	EQ rax, F_AC, "AC in the frame"
	; implicit accesses are refused whatever AC is: an LDT in a user page
	mov rax, 0x00cf93000000ffff
	mov [ldt_page + 8], rax
	SETDESC SEL_FREE, VIRT + 0x1000, 15, 0x82, 0
	mov qword [rt_gdt + SEL_FREE + 8], 0
	mov eax, SEL_FREE
	lldt ax
	stac
	mov eax, 0x0c
	FAULTS "SMAP: descriptor in a user page", VEC_PF, 1, mov fs, ax
	EQ [x_cr2], VIRT + 0x1008, "CR2 of it"
	clac
	; user mode goes on as before
	USER u_read
	WAS "SMAP: user read", VEC_DONE, 0, u_read_end
	USER u_stac
	WAS "stac at CPL 3", VEC_UD, 0, u_stac
	USER u_clac
	WAS "clac at CPL 3", VEC_UD, 0, u_clac
	; a push to a user stack is a supervisor access, too
	RT_ARM .stack
	mov rdx, rsp
	mov rsp, VIRT + 0x800
.push_at: push rax
.stack:
	WAS "SMAP: push", VEC_PF, 3, .push_at
	mov rax, cr4
	btr rax, 21
	mov cr4, rax
	RUNS "SMAP clear", mov eax, [VIRT]
	FINISH

; 4 KiB pages for the first 2 MiB: supervisor, but for the pages of user code and user stack.
; #PF runs on IST 1: one of the checks has a stack in a user page.
split:
	xor ecx, ecx
.next:	mov eax, ecx
	shl eax, 12
	mov edx, eax
	or eax, 3
	cmp edx, u_page
	je .user
	cmp edx, rt_ustack_top - 1
	ja .set
	cmp edx, rt_ustack - 4095
	jb .set
.user:	or eax, 4
.set:	mov [low + rcx * 8], rax
	inc ecx
	cmp ecx, 512
	jb .next
	mov dword [rt_pd], low + 7
	mov dword [rt_tss64 + 36], rt_stack_top - 8192
	mov byte [rt_idt64 + VEC_PF * 16 + 4], 1
	mov rax, cr3
	mov cr3, rax
	ret

section .bss
	alignb 4096
low:	resb 4096
section .text
	align 4096
u_page:
u_ret:
	mov eax, VIRT
	call rax
	DONE
u_ret_end:
u_read:
	mov eax, [VIRT]
	DONE
u_read_end:
u_stac:	stac
u_clac:	clac
	align 4096
