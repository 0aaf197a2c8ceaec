; syscall: SYSCALL, SYSRET, SYSENTER, SYSEXIT in each mode; SDM volume 2 under these names,
; volume 3, 5.8.7, 5.8.8; AMD APM volume 2, 6.1
%include "rt.inc"

S_FAST	equ SEL_FREE		; code, data, user code, user data, user 64-bit code, user data
MSR_STAR equ 0xc0000081

section .bss
	alignb 8
seen:	resq 16
intel:	resd 1
kstack:	resb 1024
kstack_top:

section .text
bits 32
main:
	xor eax, eax
	cpuid
	cmp ebx, 'Genu'
	sete byte [intel]
	SETDESC S_FAST, 0, 0xfffff, 0x9b, 12
	SETDESC S_FAST + 8, 0, 0xfffff, 0x93, 12
	SETDESC S_FAST + 16, 0, 0xfffff, 0xfb, 12
	SETDESC S_FAST + 24, 0, 0xfffff, 0xf3, 12
	SETDESC S_FAST + 32, 0, 0xfffff, 0xfb, 10
	SETDESC S_FAST + 40, 0, 0xfffff, 0xf3, 12
	; SYSENTER in 32-bit mode
	WRMSR_ 0x174, 0
	FAULTS "sysenter with a null CS", VEC_GP, 0, sysenter
	FAULTS "sysexit with a null CS", VEC_GP, 0, sysexit
	WRMSR_ 0x174, S_FAST
	mov ecx, 0x175
	mov eax, kstack_top
	xor edx, edx
	wrmsr
	mov ecx, 0x176
	mov eax, .entered
	xor edx, edx
	wrmsr
	mov ecx, 0x175
	rdmsr
	EQ eax, kstack_top, "SYSENTER_ESP reads back"
	mov dword [rt_user_flags], F_CF | F_AC | 2
	USER u_sysenter
	WAS "sysenter never entered", -1, -1, -1
.back:
	mov dword [rt_user_flags], 2
	EQ [seen], S_FAST, "sysenter: CS"
	EQ [seen + 8], S_FAST + 8, "sysenter: SS"
	EQ [seen + 16], kstack_top, "sysenter: ESP"
	EQ [seen + 24], F_CF | F_AC | 2, "sysenter: EFLAGS but IF, VM, RF stay"
	; sysexit
	RT_ARM .exited
	mov edx, u_after_sysexit
	mov ecx, rt_ustack_top - 16
	sysexit
.exited: WAS "sysexit", VEC_DONE, 0, u_after_sysexit_end
	EQ [x_cs], S_FAST + 16 + 3, "sysexit: CS"
	EQ [x_ss], S_FAST + 24 + 3, "sysexit: SS"
	EQ [x_sp], rt_ustack_top - 16, "sysexit: ESP"
	USER u_sysexit
	WAS "sysexit at CPL 3", VEC_GP, 0, u_sysexit
	USER u_sysret
	WAS "sysret at CPL 3 without SCE", VEC_UD, 0, u_sysret
	FAULTS "syscall without SCE", VEC_UD, 0, syscall
	jmp .long
.entered:
	mov eax, cs
	mov [ss:seen], eax
	mov eax, ss
	mov [ss:seen + 8], eax
	mov [ss:seen + 16], esp
	pushf
	pop dword [ss:seen + 24]
	mov eax, SEL_DATA
	mov ss, eax
	mov ds, eax
	mov es, eax
	mov esp, [rt_sp]
	push dword SEL_CODE
	push dword .back
	retf
.long:
	mov eax, go
	call rt_enter64
bits 64
go:
	FAULTS "64-bit: syscall without SCE", VEC_UD, 0, syscall
	FAULTS "64-bit: sysret without SCE", VEC_UD, 0, o64 sysret
	mov ecx, 0xc0000080
	rdmsr
	or eax, 1
	wrmsr
	; STAR: syscall takes SEL_CODE64, sysret SEL_UCODE (+8 data, +16 64-bit code)
	WRMSR_ MSR_STAR, ((SEL_UCODE << 48) | (SEL_CODE64 << 32))
	mov ecx, 0xc0000082
	mov eax, .entry
	xor edx, edx
	wrmsr
	mov ecx, 0xc0000084
	mov eax, F_DF | F_CF | F_AC | F_NT
	xor edx, edx
	wrmsr
	mov rax, 0x0000800000000000
	mov rdx, rax
	shr rdx, 32
	mov ecx, 0xc0000082
	FAULTS "LSTAR takes no non-canonical address", VEC_GP, 0, wrmsr
	mov eax, .entry
	xor edx, edx
	wrmsr
	mov qword [rt_user_flags], F_DF | F_CF | F_AC | F_ZF | F_NT | 2
	mov qword [seen + 64], .syscall_back
	USER u_syscall
	WAS "syscall never entered", -1, -1, -1
.syscall_back:
	cld
	EQ [seen], SEL_CODE64, "syscall: CS"
	EQ [seen + 8], SEL_DATA64, "syscall: SS"
	EQ [seen + 16], rt_ustack_top, "syscall: RSP is the user's"
	EQ [seen + 24], u_syscall_next, "syscall: RCX"
	EQ [seen + 32], F_DF | F_CF | F_AC | F_ZF | F_NT | 2, "syscall: R11"
	EQ [seen + 40], F_ZF | 2, "syscall: RFLAGS by FMASK"
	; sysret, 64-bit
	RT_ARM .sysret64
	mov ecx, u_after
	mov r11d, F_CF | F_VM | F_RF | 2
	mov rsp, rt_ustack_top - 32
	o64 sysret
.sysret64: WAS "sysretq", VEC_DONE, 0, u_after_end
	EQ [x_cs], SEL_UCODE64, "sysretq: CS"
	EQ [x_ss], SEL_UDATA, "sysretq: SS"
	EQ [x_sp], rt_ustack_top - 32, "sysretq: RSP"
	mov rax, [x_flags]
	and eax, F_CF | F_VM | F_RF | 2
	EQ rax, F_CF | 2, "sysretq: RF and VM are cleared"
	; sysret, 32-bit
	RT_ARM .sysret32
	mov ecx, u_after32
	mov r11d, 2
	mov rsp, rt_ustack_top - 32
	sysret
.sysret32: WAS "sysretl", VEC_DONE, 0, u_after32_end
	EQ [x_cs], SEL_UCODE, "sysretl: CS"
	; a non-canonical RCX: Intel faults before the change of level, AMD after it
	RT_ARM .sysret_nc
	mov rcx, 0x0000800000000000
	mov r11d, 2
.nc_at:	o64 sysret
.sysret_nc:
	EQ [x_vec], VEC_GP, "sysretq to a non-canonical address"
	cmp byte [intel], 0
	je .amd
	EQ [x_cs], SEL_CODE64, "Intel: the fault is at CPL 0"
	; SYSENTER in 64-bit mode: Intel alone
	WRMSR_ 0x174, SEL_CODE64
	mov ecx, 0x175
	mov eax, kstack_top
	xor edx, edx
	wrmsr
	mov ecx, 0x176
	mov eax, .entry
	xor edx, edx
	wrmsr
	mov qword [rt_user_flags], 2
	mov qword [seen + 64], .sysenter_back
	USER u_sysenter64
	WAS "64-bit sysenter never entered", -1, -1, -1
.sysenter_back:
	EQ [seen], SEL_CODE64, "64-bit sysenter: CS"
	EQ [seen + 16], kstack_top, "64-bit sysenter: RSP"
	RT_ARM .sysexit64
	mov edx, u_after
	mov ecx, rt_ustack_top - 48
	o64 sysexit
.sysexit64: WAS "64-bit sysexit", VEC_DONE, 0, u_after_end
	EQ [x_cs], SEL_UCODE64, "64-bit sysexit: CS"
	EQ [x_sp], rt_ustack_top - 48, "64-bit sysexit: RSP"
	jmp .end
.amd:
	EQ [x_cs], SEL_UCODE64, "AMD: the fault is at CPL 3"
	FAULTS "AMD: sysenter in long mode", VEC_UD, 0, sysenter
	FAULTS "AMD: sysexit in long mode", VEC_UD, 0, sysexit
	; SYSCALL of compatibility mode goes by CSTAR
	mov ecx, 0xc0000083
	mov eax, .entry
	xor edx, edx
	wrmsr
	mov qword [seen + 64], .cstar_back
	RT_ARM .cstar
	push qword SEL_UDATA
	push qword rt_ustack_top
	push qword 2
	push qword SEL_UCODE
	push qword u_syscall32
	iretq
.cstar:	WAS "compatibility mode syscall never entered", -1, -1, -1
.cstar_back:
	EQ [seen], SEL_CODE64, "compatibility mode syscall: CS"
	EQ [seen + 24], u_syscall32_next, "compatibility mode syscall: RCX"
.end:
	USER u_sysret64
	WAS "sysret at CPL 3", VEC_GP, 0, u_sysret64
	FINISH
.entry:
	mov [seen + 48], rax
	mov eax, cs
	mov [seen], rax
	mov eax, ss
	mov [seen + 8], rax
	mov [seen + 16], rsp
	mov [seen + 24], rcx
	mov [seen + 32], r11
	mov rsp, [rt_sp]
	pushf
	pop qword [seen + 40]
	mov eax, SEL_DATA64
	mov ss, eax
	jmp [seen + 64]
u_syscall:
	syscall
u_syscall_next:
	DONE
u_after:
	DONE
u_after_end:
u_sysenter64:
	sysenter
u_sysret64:
	o64 sysret
bits 32
u_after32:
	DONE
u_after32_end:
u_syscall32:
	syscall
u_syscall32_next:
	DONE
u_sysenter:
	sysenter
u_sysexit:
	sysexit
u_sysret:
	sysret
u_after_sysexit:
	DONE
u_after_sysexit_end:
